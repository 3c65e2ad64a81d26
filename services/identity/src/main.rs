//! The identity service.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    chassis::main("identity", identity::MIGRATIONS, identity::run).await
}
