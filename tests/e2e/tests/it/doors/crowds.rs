//! Whoever sends nothing, or connects and says nothing, keeps nobody else out. A second gateway has the limits of a small one.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use client::{Session, patiently};
use e2e::{Gateway, Refused as _, World, file, filing, form, person};
use http::Request;
use http_body_util::StreamBody;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::{
    identity::{GetJwksRequest, RefreshTokensRequest, Role},
    registry::ListCasesRequest,
};
use runtime::tls;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Mutex,
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use crate::Outcome;

const REFRESH: &str = "/hersys.identity.v1.SessionService/RefreshTokens";
const FILE: &str = "/hersys.notification.v1.FilingService/FileNotification";

/// Begins calls over HTTP/2 whose bodies never come, and keeps them open.
async fn send_nothing(
    gateway: &Gateway,
    session: Option<&Session>,
    path: &str,
    calls: usize,
) -> anyhow::Result<JoinSet<()>> {
    let tls = handshake(gateway, IpAddr::from([127, 0, 0, 1]), b"", b"h2").await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
    let mut open = JoinSet::new();
    open.spawn(async move { drop(connection.await) });
    for _ in 0..calls {
        let nothing = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>());
        let uri = format!("https://{}{path}", gateway.address());
        let mut request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
        if let Some(session) = session {
            request = request.header("authorization", format!("Bearer {}", session.access_token));
        }
        let (request, mut sender) = (request.body(Body::new(nothing))?, sender.clone());
        open.spawn(async move { drop(sender.send_request(request).await) });
    }
    Ok(open)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// A connection to a gateway from an address of this machine, in HTTP/1.1.
async fn connect(gateway: &Gateway, from: IpAddr, preamble: &[u8]) -> anyhow::Result<TlsStream<TcpStream>> {
    handshake(gateway, from, preamble, b"http/1.1").await
}

async fn handshake(
    gateway: &Gateway,
    from: IpAddr,
    preamble: &[u8],
    protocol: &[u8],
) -> anyhow::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let address = gateway.address();
    let mut tcp = socket.connect(address.parse().context("the gateway's address")?).await?;
    tcp.write_all(preamble).await?;
    let mut config = tls::client_of(&gateway.ca())?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, tcp).await?)
}

async fn answer_to(mut connection: TlsStream<TcpStream>, request: &str) -> anyhow::Result<String> {
    connection.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(Duration::from_secs(10), connection.read(&mut answer)).await??;
    Ok(String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned())
}

const JWKS: &str = "GET /v1/jwks HTTP/1.1\r\nhost: localhost\r\naccept-language: en\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_no_body_takes_nobodys_place() -> Outcome {
    let world = World::shared()?;
    let gateway = world.gateway_with(&[("HERSYS_IN_FLIGHT", "8"), ("HERSYS_UNDER_WAY", "4")]).await?;
    let honest = world.at_work("clinic", Role::Physician).await?;
    let honest = gateway.client()?.with_session(honest.session().context("signed in")?.clone());
    let greedy = world.at_work("hospital", Role::Physician).await?;
    let greedy = gateway.client()?.with_session(greedy.session().context("signed in")?.clone());

    // Strangers, many more than there are places; and one account.
    let strangers = send_nothing(&gateway, None, REFRESH, 60).await?;
    let account = Mutex::new(Vec::new());
    let refused = async || greedy.cases().list_cases(greedy.request(ListCasesRequest::default())).await;
    e2e::eventually("the account has its calls under way", Duration::from_secs(10), async || {
        account.lock().await.push(send_nothing(&gateway, greedy.session(), FILE, 20).await?);
        Ok(refused().await.is_err_and(|status| reason(&status) == "QUOTA_EXCEEDED"))
    })
    .await?;

    for _ in 0..5 {
        file(&honest, filing(form(&person()))).await?;
        honest.cases().list_cases(honest.request(ListCasesRequest::default())).await?;
        let refresh = RefreshTokensRequest { refresh_token: "nobody's".to_owned() };
        let answer = gateway.client()?.sessions().refresh_tokens(refresh).await.refused();
        assert_eq!(answer.code(), Code::Unauthenticated, "it is looked at: {answer}");
    }
    drop((strangers, account));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_people_behind_one_address_are_all_served() -> Outcome {
    let world = World::shared()?;
    let gateway = world.gateway_with(&[]).await?;
    let mut people = JoinSet::new();
    for _ in 0..500 {
        let somebody = gateway.client()?;
        people
            .spawn(async move { patiently(|| async { somebody.sign_ins().get_jwks(GetJwksRequest {}).await }).await });
    }
    for answer in people.join_all().await {
        answer?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_never_speaks_is_closed_and_one_address_has_so_many() -> Outcome {
    let world = World::shared()?;
    let gateway = world.gateway_with(&[("HERSYS_CONNECTIONS_PER_ADDRESS", "6")]).await?;
    let (one, other) = (IpAddr::from([127, 0, 0, 21]), IpAddr::from([127, 0, 0, 22]));
    let began = Instant::now();
    // Of those that have not spoken, half as many.
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(connect(&gateway, one, b"").await?);
    }
    assert!(connect(&gateway, one, b"").await.is_err(), "a fourth one is closed at once");
    assert!(answer_to(connect(&gateway, other, b"").await?, JWKS).await?.starts_with("HTTP/1.1 200"));

    for mut connection in silent {
        let ended = tokio::time::timeout(Duration::from_secs(20), connection.read(&mut [0; 1])).await?;
        assert_eq!(ended.unwrap_or(0), 0);
    }
    assert!(began.elapsed() >= Duration::from_secs(9), "they had their time");

    // Those that have spoken stay; who comes beyond the limit is told so at once.
    let mut spoken = Vec::new();
    for _ in 0..6 {
        let mut connection = connect(&gateway, one, b"").await?;
        connection.write_all(JWKS.as_bytes()).await?;
        connection.read_u8().await?;
        spoken.push(connection);
    }
    let told = answer_to(connect(&gateway, one, b"").await?, JWKS).await?;
    assert!(told.starts_with("HTTP/1.1 429") && told.to_lowercase().contains("retry-after"), "{told}");
    assert!(answer_to(connect(&gateway, other, b"").await?, JWKS).await?.starts_with("HTTP/1.1 200"));
    drop(spoken);
    Ok(())
}

/// PROXY protocol v2, as a load balancer sends it.
fn proxied(from: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(from);
    header.extend([192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb]);
    header
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_load_balancer_the_true_address_counts_and_nobody_else_says_one() -> Outcome {
    let world = World::shared()?;
    let settings = [("HERSYS_PROXY_HOPS", "127.0.0.31/32"), ("HERSYS_LIMIT_ANONYMOUS", "1")];
    let gateway = world.gateway_with(&settings).await?;
    let (hop, stranger) = (IpAddr::from([127, 0, 0, 31]), IpAddr::from([127, 0, 0, 32]));
    let by = async |from: [u8; 4]| answer_to(connect(&gateway, hop, &proxied(from)).await?, JWKS).await;
    let mut turned_away = false;
    for _ in 0..15 {
        turned_away |= by([203, 0, 113, 1]).await?.starts_with("HTTP/1.1 429");
    }
    assert!(turned_away, "one person behind the balancer has one person's limit");
    assert!(by([203, 0, 113, 2]).await?.starts_with("HTTP/1.1 200"), "a neighbour does not notice");

    // Without the header a hop is not let in; from anybody else it is no more than noise before TLS.
    assert!(connect(&gateway, hop, b"").await.is_err());
    assert!(connect(&gateway, stranger, &proxied([203, 0, 113, 2])).await.is_err());
    let forged = JWKS.replace("accept-language", "x-forwarded-for: 203.0.113.2\r\naccept-language");
    for _ in 0..15 {
        turned_away = answer_to(connect(&gateway, stranger, b"").await?, &forged).await?.starts_with("HTTP/1.1 429");
    }
    assert!(turned_away, "a forged header is ignored");
    Ok(())
}

/// Runs alone: times are compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filings_go_on_while_twenty_addresses_do_their_worst_at_default_limits() -> Outcome {
    let world = World::shared()?;
    let gateway = world.gateway_with(&[]).await?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let clinic = gateway.client()?.with_session(clinic.session().context("signed in")?.clone());
    let slowest = async || {
        let mut took = Vec::new();
        for _ in 0..60 {
            let began = Instant::now();
            file(&clinic, filing(form(&person()))).await?;
            took.push(began.elapsed());
        }
        Ok::<_, anyhow::Error>(took.into_iter().max().unwrap_or_default())
    };
    slowest().await?;
    let baseline = slowest().await?;

    let head = format!(
        "POST {REFRESH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut attack = Vec::new();
    for round in 0..20 {
        for address in 41..61 {
            let mut connection = connect(&gateway, IpAddr::from([127, 0, 0, address]), b"").await?;
            // Half of them say nothing at all.
            if round % 2 == 0 {
                connection.write_all(head.as_bytes()).await?;
            }
            attack.push(connection);
        }
    }
    let under_attack = slowest().await?;
    assert!(
        under_attack <= baseline * 2 + Duration::from_millis(100),
        "{under_attack:?} under attack, {baseline:?} before"
    );
    clinic.sign_ins().get_jwks(GetJwksRequest {}).await?;
    drop(attack);
    Ok(())
}
