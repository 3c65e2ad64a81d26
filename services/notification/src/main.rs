//! The notification service.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    chassis::main("notification", notification::MIGRATIONS, notification::run).await
}
