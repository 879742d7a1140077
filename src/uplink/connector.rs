//! How a connection to the server is opened. TCP only; TLS and WebSocket are other connectors beside it.
//!
//! Never retries: when to try again is the forwarder's business.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::limits::{UPLINK_ADDRESS_DEADLINE, UPLINK_UNSENT_BYTES};

/// Bytes both ways, in order.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is being opened; the error is for a person to read.
pub type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, String>> + Send>>;

/// Opens connections to one server.
pub trait Connector: Send + 'static {
    /// Tries once. Dropping the future ends the attempt.
    fn open(&self) -> Opening;
}

/// Opens TCP connections.
#[derive(Debug, Clone)]
pub struct TcpConnector {
    /// The server's name or address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// How long bytes may stay unacknowledged by the server's machine before the kernel gives up.
    pub dead_after: Duration,
}

impl Connector for TcpConnector {
    fn open(&self) -> Opening {
        let connector = self.clone();
        Box::pin(async move {
            let stream: Box<dyn Stream> = Box::new(connector.connect().await?);
            Ok(stream)
        })
    }
}

impl TcpConnector {
    /// Looks the name up anew and tries every address in turn.
    async fn connect(&self) -> Result<TcpStream, String> {
        let addresses: Vec<SocketAddr> = match lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => return Err(format!("the name {:?} is not known: {error}", self.host)),
        };
        let mut failures = String::new();
        for address in &addresses {
            match self.connect_to(*address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let separator = if failures.is_empty() { "" } else { "; " };
                    let _ = write!(failures, "{separator}{address}: {error}");
                }
            }
        }
        if failures.is_empty() {
            failures = format!("the name {:?} has no address", self.host);
        }
        Err(failures)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let connecting = timeout(UPLINK_ADDRESS_DEADLINE, TcpStream::connect(address));
        let stream = connecting.await.unwrap_or_else(|_| {
            let seconds = UPLINK_ADDRESS_DEADLINE.as_secs();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {seconds} s")))
        })?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(self.dead_after))?;
        // What a write has taken is then soon on its way: a write that advances proves that the link lives.
        socket.set_tcp_notsent_lowat(UPLINK_UNSENT_BYTES)?;
        Ok(stream)
    }
}
