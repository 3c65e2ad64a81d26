//! The follow-up service.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    chassis::main("followup", followup::MIGRATIONS, followup::run).await
}
