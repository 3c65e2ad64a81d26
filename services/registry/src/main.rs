//! The case registry.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    chassis::main("registry", registry::MIGRATIONS, registry::run).await
}
