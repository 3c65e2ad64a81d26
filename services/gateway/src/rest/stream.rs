//! Streams as NDJSON: one message per line as it arrives. If the stream ends with an error, the last line reports it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Frame, SizeHint};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use runtime::problem;
use tonic::{Code, Status, body::Body};

use crate::answer;

/// The answer of a streaming call.
pub(crate) fn ndjson(body: Body, descriptor: MessageDescriptor) -> Response<Body> {
    let lines = Lines { body: Some(body), descriptor, buffer: BytesMut::new() };
    let mut response = Response::new(Body::new(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    answer::keep_private(response.headers_mut());
    response
}

struct Lines {
    body: Option<Body>,
    descriptor: MessageDescriptor,
    buffer: BytesMut,
}

impl Lines {
    /// The next whole message of the buffer, as a line.
    fn line(&mut self) -> Option<Result<Bytes, Status>> {
        let length = self.buffer.get(1..5).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_be_bytes)?;
        let length = usize::try_from(length).ok()?;
        if self.buffer.len() < 5 + length {
            return None;
        }
        self.buffer.advance(5);
        let message = self.buffer.split_to(length);
        let decoded = DynamicMessage::decode(self.descriptor.clone(), message.freeze());
        Some(decoded.map(|message| ended(answer::to_json(&message))).map_err(|_| problem::internal()))
    }

    /// Ends with an error line where the status says so.
    fn last(&mut self, trailers: Option<&HeaderMap>) -> Option<Bytes> {
        self.body = None;
        let status = trailers.and_then(Status::from_header_map).unwrap_or_else(problem::unavailable);
        (status.code() != Code::Ok).then(|| error_line(&status))
    }
}

fn error_line(status: &Status) -> Bytes {
    ended([b"{\"error\":", answer::error_body(status).as_slice(), b"}"].concat())
}

fn ended(mut line: Vec<u8>) -> Bytes {
    line.push(b'\n');
    line.into()
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            match self.line() {
                Some(Ok(line)) => return Poll::Ready(Some(Ok(Frame::data(line)))),
                Some(Err(status)) => {
                    self.body = None;
                    return Poll::Ready(Some(Ok(Frame::data(error_line(&status)))));
                }
                None => {}
            }
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        let line = self.last(frame.trailers_ref());
                        return Poll::Ready(line.map(|line| Ok(Frame::data(line))));
                    }
                },
                Some(Err(status)) => {
                    self.body = None;
                    return Poll::Ready(Some(Ok(Frame::data(error_line(&status)))));
                }
                None => {
                    let line = self.last(None);
                    return Poll::Ready(line.map(|line| Ok(Frame::data(line))));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
