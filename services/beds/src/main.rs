//! The beds service.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    chassis::main("beds", beds::MIGRATIONS, beds::run).await
}
