//! A scripted API server: it records each request whole, and answers as a test wants.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower_test::mock;

/// The body of an answer.
type Told = UnsyncBoxBody<Bytes, std::io::Error>;

/// A request, whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

impl Asked {
    /// `PATCH …/name` in a word: what an order of requests is compared by.
    pub(crate) fn brief(&self) -> String {
        let name = self.path.split('/').skip_while(|part| *part != "hersys").skip(1).collect::<Vec<_>>().join("/");
        format!("{} {name}", self.verb)
    }
}

/// An answer of the server.
pub(crate) enum Answer {
    /// Status and body.
    Says(u16, Value),
    /// Lines of a watch, and then silence.
    Tells(Vec<Value>),
    /// Lines of a watch, and then its end.
    Ends(Vec<Value>),
    /// Nothing, for ever.
    Nothing,
}

/// The server.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<Vec<Asked>>>);

impl Server {
    /// A client of a server that answers by `answer`, which also gets how many requests came before.
    pub(crate) fn client(&self, answer: impl Fn(&Asked, usize) -> Answer + Send + 'static) -> Client {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Told>>();
        let asked = Arc::clone(&self.0);
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let one = read(request).await;
                let before = {
                    let mut all = asked.lock().unwrap();
                    all.push(one.clone());
                    all.len() - 1
                };
                match answer(&one, before) {
                    Answer::Says(status, body) => {
                        let body = stream(vec![body], true);
                        send.send_response(Response::builder().status(status).body(body).unwrap());
                    }
                    Answer::Tells(lines) => send.send_response(Response::new(stream(lines, false))),
                    Answer::Ends(lines) => send.send_response(Response::new(stream(lines, true))),
                    // Dropping it would be an answer, too.
                    Answer::Nothing => std::mem::forget(send),
                }
            }
        });
        Client::new(service, "hersys")
    }

    /// What was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    /// The order of what was asked.
    pub(crate) fn order(&self) -> Vec<String> {
        self.asked().iter().map(Asked::brief).collect()
    }

    /// The requests with this verb and a path that ends so.
    pub(crate) fn of(&self, verb: &str, end: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|one| one.verb == verb && one.path.ends_with(end)).collect()
    }
}

async fn read(request: Request<Body>) -> Asked {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    Asked {
        verb: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        kind: kind.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

fn stream(lines: Vec<Value>, ends: bool) -> Told {
    use futures::{StreamExt as _, stream};

    let lines = lines.into_iter().map(|line| Ok::<_, std::io::Error>(format!("{line}\n").into_bytes()));
    let rest: BoxFuture<'static, ()> =
        if ends { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) };
    let silence = stream::once(rest).filter_map(async |()| None);
    let frames = stream::iter(lines).chain(silence).map(|line| line.map(|line| Frame::data(Bytes::from(line))));
    http_body_util::StreamBody::new(frames).boxed_unsync()
}

/// A refusal of the API server.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    Answer::Says(code, body)
}
