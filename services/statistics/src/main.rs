//! The statistics service.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    chassis::main("statistics", statistics::MIGRATIONS, statistics::run).await
}
