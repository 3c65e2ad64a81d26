//! Every listener speaks TLS 1.2 or 1.3 and nothing else.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{World, amount};

use crate::Outcome;

/// Every port of the stack, and whether its server speaks TLS from the first byte.
fn listeners(world: &World) -> Vec<(String, String)> {
    let mut all = vec![("nats".to_owned(), format!("127.0.0.1:{}", world.stack.nats.port))];
    for (name, process) in &world.stack.services {
        all.push((name.clone(), process.address.clone()));
        all.push((format!("{name} admin"), process.admin.clone()));
    }
    all
}

/// ECDHE with AES-GCM, for ECDSA and RSA.
const STRONG: &[u16] = &[0xc02b, 0xc02f];
/// ECDHE with AES-CBC, which is all that TLS 1.0 and 1.1 know.
const CBC: &[u16] = &[0xc009, 0xc013, 0xc00a, 0xc014];
/// AES-GCM without forward secrecy.
const STATIC: &[u16] = &[0x009c, 0x009d];

/// A TLS client hello that offers nothing above `version` and no other suites than these.
fn client_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(length(suites.len() * 2));
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, content: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(length(content.len()));
        extensions.extend(content);
    };
    extension(10, &[0, 4, 0, 23, 0, 29]);
    extension(11, &[1, 0]);
    extension(13, &[0, 4, 4, 3, 4, 1]);
    extension(23, &[]);
    body.extend(length(extensions.len()));
    body.extend(extensions);
    let mut hello = vec![1, 0];
    hello.extend(length(body.len()));
    hello.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(length(hello.len()));
    record.extend(hello);
    record
}

/// The first byte a server answers: 22 a handshake, 21 an alert, nothing a closed door.
fn answer(address: &str, first: &[u8], sent: &[u8]) -> anyhow::Result<Option<u8>> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(7)))?;
    if !first.is_empty() {
        tcp.write_all(first)?;
        let mut reply = [0; 1];
        tcp.read_exact(&mut reply)?;
        assert_eq!(&reply, b"S", "the server offers TLS");
    }
    tcp.write_all(sent)?;
    let mut byte = [0; 1];
    Ok(match tcp.read(&mut byte) {
        Ok(1) => Some(byte[0]),
        _ => None,
    })
}

#[tokio::test]
async fn plaintext_is_refused_on_every_port() -> Outcome {
    let world = World::shared()?;
    let requests: [&[u8]; 2] =
        [b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"];
    for (name, address) in listeners(&world) {
        for request in requests {
            let answered = answer(&address, &[], request)?;
            assert!(matches!(answered, None | Some(21)), "{name} answers plaintext: {answered:?}");
        }
    }
    // PostgreSQL: a startup packet without TLS is refused before any authentication.
    let mut startup = vec![0, 0, 0, 41, 0, 3, 0, 0];
    startup.extend(b"user\0registry_app\0database\0registry\0\0");
    startup[3] = u8::try_from(startup.len())?;
    let answered = answer(&format!("127.0.0.1:{}", world.stack.postgres.port), &[], &startup)?;
    assert_eq!(answered, Some(b'E'));
    Ok(())
}

#[tokio::test]
async fn only_tls_1_2_and_above_with_ecdhe_and_aead_is_spoken_on_every_port() -> Outcome {
    const POSTGRES_ASKS_FOR_TLS: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    let world = World::shared()?;
    let postgres = format!("127.0.0.1:{}", world.stack.postgres.port);
    let mut all: Vec<(String, String, &[u8])> =
        listeners(&world).into_iter().map(|(name, address)| (name, address, &[][..])).collect();
    all.push(("postgres".to_owned(), postgres, POSTGRES_ASKS_FOR_TLS));
    for (name, address, first) in all {
        for (version, suites) in [(0x0301, CBC), (0x0302, CBC), (0x0303, CBC), (0x0303, STATIC)] {
            let answered = answer(&address, first, &client_hello(version, suites))?;
            let refused = matches!(answered, None | Some(21));
            assert!(refused, "{name} speaks TLS {version:x} with {suites:x?}: {answered:?}");
        }
        // A good suite of 1.2 is answered by a handshake: it is version and suite that are refused.
        assert_eq!(answer(&address, first, &client_hello(0x0303, STRONG))?, Some(22), "{name} refuses TLS 1.2");
    }
    Ok(())
}

#[tokio::test]
async fn the_admin_port_wants_a_certificate_of_the_mesh() -> Outcome {
    let world = World::shared()?;
    for name in world.stack.services.keys() {
        let (status, metrics) = world.stack.admin(name, "/metrics").await?;
        assert_eq!(status, 200);
        assert!(metrics.contains("hersys_"), "{name}");
    }
    // Without a certificate: a client that trusts us, and shows nothing.
    let config = runtime::tls::client_of(&world.stack.gateway.ca)?;
    let channel = runtime::mesh::Channel::new(
        &world.stack.services["registry"].admin,
        "registry.hersys.internal",
        std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(config)),
    )?;
    let request = http::Request::get("/metrics").body(tonic::body::Body::empty())?;
    assert!(channel.send(request).await.is_err());
    Ok(())
}

/// What sslyze finds at these listeners; the first line says how many it reached.
fn scanned(listeners: &[String]) -> anyhow::Result<Vec<String>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let made = Command::new("python3").arg(format!("{root}/tests/contract/venv.py")).arg("sslyze").output()?;
    let python = String::from_utf8(made.stdout)?.trim().to_owned();
    let done = Command::new(python).arg(format!("{root}/tests/contract/listeners.py")).args(listeners).output()?;
    anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslyze_finds_nothing_on_listeners_of_every_kind_and_something_on_a_weak_one() -> Outcome {
    let world = World::shared()?;
    // The services share one configuration: one of them and the gateway show it, unless there is time for all.
    let looked_at = |name: &str| amount(["gateway", "registry", "registry admin", "nats"].contains(&name), true);
    let mut all: Vec<String> = listeners(&world)
        .into_iter()
        .filter(|(name, _)| looked_at(name))
        .map(|(name, address)| format!("{}={address}", name.replace(' ', "-")))
        .collect();
    all.push(format!("postgres=127.0.0.1:{},postgres", world.stack.postgres.port));
    let reached = format!("{} listeners", all.len());
    assert_eq!(scanned(&all)?, [reached]);

    // A server of the old kind: the look would have found it.
    let folder = std::env::temp_dir().join(format!("hersys-weak-{}", uuid::Uuid::now_v7().simple()));
    let files = devstack::certs::Authority::open(&folder)?.issue("weak")?;
    let program = "import socket, ssl, sys, threading\n\
                   context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
                   context.load_cert_chain(sys.argv[1], sys.argv[2])\n\
                   context.maximum_version = ssl.TLSVersion.TLSv1_2\n\
                   context.set_ciphers('ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0')\n\
                   door = socket.create_server(('127.0.0.1', 0))\n\
                   print(door.getsockname()[1], flush=True)\n\
                   def answer(plain):\n\
                   \u{20}   try:\n\
                   \u{20}       context.wrap_socket(plain, server_side=True).close()\n\
                   \u{20}   except OSError:\n\
                   \u{20}       pass\n\
                   while True:\n\
                   \u{20}   threading.Thread(target=answer, args=(door.accept()[0],), daemon=True).start()\n";
    let mut weak =
        Command::new("python3").args(["-c", program]).args([&files.cert, &files.key]).stdout(Stdio::piped()).spawn()?;
    let mut port = String::new();
    BufReader::new(weak.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?).read_line(&mut port)?;
    let found = scanned(&[format!("weak=127.0.0.1:{}", port.trim())]);
    weak.kill()?;
    weak.wait()?;
    std::fs::remove_dir_all(folder)?;
    let found = found?;
    assert!(found.iter().any(|line| line.contains("CBC")), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn callers_see_the_certificate_of_the_edge_and_the_mesh_its_own() -> Outcome {
    let world = World::shared()?;
    let folder = std::env::temp_dir().join(format!("edge-{}", uuid::Uuid::now_v7()));
    let public = devstack::certs::Authority::open(&folder)?.issue("gateway")?;
    let (cert, key) = (public.cert.to_string_lossy(), public.key.to_string_lossy());
    let gateway = world.gateway_with(&[("HERSYS_EDGE_CERT", &cert), ("HERSYS_EDGE_KEY", &key)]).await?;
    let ask = async |ca: &std::path::Path| {
        let client = client::Client::new(&format!("https://{}", gateway.address()), ca)?;
        let request = http::Request::get("/healthz").body(tonic::body::Body::empty())?;
        anyhow::Ok(client.channel().send(request).await?.status())
    };
    assert_eq!(ask(&public.ca).await?, 200);
    assert!(ask(&gateway.ca()).await.is_err(), "whoever knows the mesh's authority only does not know this one");
    // The mesh still sees the mesh's: the admin port answered when the gateway came up, and its calls reach identity.
    assert!(gateway.metrics().await?.contains("hersys_certificate_ends_seconds"));
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
