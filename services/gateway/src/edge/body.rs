//! Response bodies on their way through: bounded in time, and holding their place while they last.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use runtime::problem;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::limits::Watching;

/// A response body that ends in time: at the deadline it closes with a gRPC status of its own.
pub(crate) struct Timed {
    inner: Option<Incoming>,
    deadline: Pin<Box<Sleep>>,
    _watching: Option<Watching>,
}

impl Timed {
    pub(crate) fn new(inner: Incoming, life: Duration, watching: Option<Watching>) -> Self {
        Self { inner: Some(inner), deadline: Box::pin(sleep(life)), _watching: watching }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                // The upstream went away in the middle: send a status the client understands, not a broken stream.
                tracing::debug!(%error, "Upstream ended early");
                self.inner = None;
                Poll::Ready(Some(Ok(Frame::trailers(trailers(&problem::unavailable())))))
            }
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    self.inner = None;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers(&problem::too_late())))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Writing a status cannot fail; without one the stream would end without a word.
    let _ = status.add_header(&mut headers);
    headers
}
