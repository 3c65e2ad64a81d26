//! The true address behind a load balancer: PROXY protocol, version 2.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ppp::v2::{Addresses, Command, Header};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The bytes before the addresses: signature, version, family, length.
const FIXED: usize = 16;
/// The most bytes after them; addresses and the tags of any load balancer are far shorter.
const LONGEST: usize = 4_096;

/// Reads the header that a listed hop sends before anything else. `None` where the hop speaks for itself, as health checks do.
///
/// # Errors
/// When there is no valid header: whoever is behind the hop cannot be told apart, so the connection ends.
pub(super) async fn address(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; FIXED];
    io.read_exact(&mut header).await?;
    let length = match header.as_slice() {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    if !header.starts_with(ppp::v2::PROTOCOL_PREFIX) || length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await?;
    header.extend(rest);
    let header = Header::try_from(header.as_slice()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if header.command == Command::Local {
        return Ok(None);
    }
    match header.addresses {
        Addresses::IPv4(of) => Ok(Some((IpAddr::from(of.source_address), of.source_port).into())),
        Addresses::IPv6(of) => Ok(Some((IpAddr::from(of.source_address), of.source_port).into())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ppp::v2::{Builder, Command, Protocol, Version};

    use super::address;

    fn header(command: Command) -> Vec<u8> {
        let from: SocketAddr = "203.0.113.9:4711".parse().unwrap();
        let to: SocketAddr = "192.0.2.1:443".parse().unwrap();
        Builder::with_addresses(Version::Two | command, Protocol::Stream, (from, to)).build().unwrap()
    }

    #[tokio::test]
    async fn a_hop_says_whom_it_speaks_for_and_nothing_else_is_believed() {
        let mut bytes = header(Command::Proxy);
        bytes.extend(b"the rest");
        let mut io = bytes.as_slice();
        assert_eq!(address(&mut io).await.unwrap(), Some("203.0.113.9:4711".parse().unwrap()));
        assert_eq!(io, b"the rest", "nothing behind the header is touched");

        assert_eq!(address(&mut header(Command::Local).as_slice()).await.unwrap(), None);
        for wrong in [
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n".as_slice(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
            &header(Command::Proxy)[..20],
            b"",
        ] {
            assert!(address(&mut &*wrong).await.is_err());
        }
    }
}
