//! Calls that are repeated: while the system is busy, and for the next page.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Calls again while the system is away or busy, for half a minute at most. Only for calls that may be repeated: those that
/// carry a request id, or change nothing.
///
/// # Errors
/// The last answer.
pub async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut wait = Duration::from_millis(100);
    let started = tokio::time::Instant::now();
    loop {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if is_passing(&status) && started.elapsed() < Duration::from_secs(30) => {
                let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
                tokio::time::sleep(asked.unwrap_or(wait).min(Duration::from_secs(2))).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            Err(status) => return Err(status),
        }
    }
}

/// Whether it is worth asking again.
pub fn is_passing(status: &Status) -> bool {
    // A torn connection comes from the HTTP client as Unknown or Internal; it is not an answer of the gateway.
    let torn =
        status.metadata().is_empty() && matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled);
    torn || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

/// Follows a list to its end. The closure takes a page token and returns the items of that page with the next token.
///
/// # Errors
/// The first page that is refused.
pub async fn pages<T>(mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Status>) -> Result<Vec<T>, Status> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (items, next) = page(token).await?;
        all.extend(items);
        if next.is_empty() {
            return Ok(all);
        }
        token = next;
    }
}
