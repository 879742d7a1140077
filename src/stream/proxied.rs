//! The PROXY protocol, version 2: a load balancer in front says whose connection it passes on.
//!
//! Reads exactly the header and nothing behind it. Version 1 is refused: its end has to be searched for.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of the fixed part: signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The longest rest that is read: addresses and a few extensions.
const REST_BYTES: usize = 4096;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum ProxiedError {
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else came first.
    #[error("no PROXY protocol header of version 2: does it come through the proxy?")]
    Missing,
    /// The header is damaged.
    #[error("a PROXY protocol header that makes no sense")]
    Malformed,
}

/// Reads the header; the address of the client, `None` when the proxy speaks for itself.
///
/// # Errors
/// When there is none.
pub async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxiedError> {
    let mut fixed = [0; FIXED_BYTES];
    stream.read_exact(&mut fixed).await?;
    let [signature @ .., version, family, high, low] = fixed;
    if signature != SIGNATURE {
        return Err(ProxiedError::Missing);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_BYTES {
        return Err(ProxiedError::Malformed);
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match version {
        // LOCAL: a health check of the proxy itself.
        0x20 => Ok(None),
        0x21 => source(family, &rest),
        _ => Err(ProxiedError::Malformed),
    }
}

/// The source address, for TCP over IPv4 and IPv6; others carry none that we could show.
fn source(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, ProxiedError> {
    let port = |at: usize| rest.get(at..)?.first_chunk().map(|port| u16::from_be_bytes(*port));
    let address = match family {
        0x11 if rest.len() >= 12 => {
            let octets: Option<&[u8; 4]> = rest.first_chunk();
            octets.zip(port(8)).map(|(octets, port)| (Ipv4Addr::from(*octets), port).into())
        }
        0x21 if rest.len() >= 36 => {
            let octets: Option<&[u8; 16]> = rest.first_chunk();
            octets.zip(port(32)).map(|(octets, port)| (Ipv6Addr::from(*octets), port).into())
        }
        0x11 | 0x21 => return Err(ProxiedError::Malformed),
        _ => None,
    };
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxiedError>, usize) {
        let mut rest = bytes;
        (read_header(&mut rest).await, rest.len())
    }

    fn header(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version, family], &length, rest, b"MQTT"].concat()
    }

    #[tokio::test]
    async fn the_address_is_read_and_nothing_behind_the_header() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x1F, 0x90, 0x07, 0x5B, 0x04, 0, 1, 9];
        let (address, left) = read(&header(0x21, 0x11, &v4)).await;
        assert_eq!((address.unwrap().unwrap().to_string().as_str(), left), ("192.0.2.7:8080", 4));
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[33] = 80;
        let (address, left) = read(&header(0x21, 0x21, &v6)).await;
        assert_eq!((address.unwrap().unwrap().to_string().as_str(), left), ("[::1]:80", 4));
        for (version, family) in [(0x20, 0x00), (0x21, 0x00), (0x21, 0x31)] {
            assert!(matches!(read(&header(version, family, &[])).await, (Ok(None), 4)));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        assert!(matches!(read(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a").await.0, Err(ProxiedError::Io(_))));
        assert!(matches!(read(&[b'x'; 40]).await.0, Err(ProxiedError::Missing)));
        assert!(matches!(read(&header(0x21, 0x11, &[1; 11])).await.0, Err(ProxiedError::Malformed)));
        assert!(matches!(read(&header(0x11, 0x11, &[1; 12])).await.0, Err(ProxiedError::Malformed)));
        assert!(matches!(read(&header(0x21, 0x11, &[1; 5000])).await.0, Err(ProxiedError::Malformed)));
    }
}
