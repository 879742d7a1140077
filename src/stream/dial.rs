//! From the name of a server to an open stream: look up, connect, proxy, TLS, WebSocket, in this order.
//!
//! One attempt at a time, each step in plain words when it fails. Never retries and never waits between attempts:
//! when to try again is the caller's business.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use super::tls::ClientTls;
use super::url::Url;
use super::{Proxy, Socket, Stream, in_words, resolve, websocket};
use crate::limits::{TLS_HANDSHAKE_DEADLINE, UPLINK_ACKNOWLEDGEMENT_DEADLINE, UPLINK_UNSENT_BYTES};

/// Idle time after which the system probes whether the other side is still there, and the pause between probes.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));

/// Bytes that TLS and WebSocket may hold back each. Few: who watches whether a slow link still moves sees no more
/// than what these give to the socket.
pub(super) const LAYER_BYTES: usize = 16 * 1024;

/// A way to servers.
#[derive(Debug, Clone)]
pub struct Route {
    /// The web proxy in between.
    pub proxy: Option<Proxy>,
    /// For `mqtts` and `wss`.
    pub tls: ClientTls,
    /// How long bytes may stay unacknowledged by the other machine before the system gives the connection up.
    pub dead_after: Duration,
}

impl Default for Route {
    fn default() -> Route {
        Route { proxy: None, tls: ClientTls::default(), dead_after: UPLINK_ACKNOWLEDGEMENT_DEADLINE }
    }
}

impl Route {
    /// Tries once to open a stream to this server.
    ///
    /// # Errors
    /// In words, what failed.
    pub async fn open(&self, url: &Url) -> Result<Stream, String> {
        // Files may have been renewed since the last attempt. Reading them may take its time.
        let prepared = match url.scheme.is_tls() {
            true => Some(self.prepare_tls(url).await?),
            false => None,
        };
        let stream = match &self.proxy {
            None => resolve::connect(&url.host, url.port).await?,
            Some(proxy) => {
                let to_proxy = resolve::connect(&proxy.host, proxy.port).await;
                let stream = to_proxy.map_err(|words| format!("the proxy: {words}"))?;
                within("the proxy's answer", proxy.tunnel(stream, url)).await??
            }
        };
        self.tune(&stream).map_err(|error| in_words(&error))?;
        let socket = Socket::from(stream);
        let Some((connector, name)) = prepared else {
            return match url.scheme.is_websocket() {
                true => Ok(Stream::WebSocket(Box::new(upgrade(socket, url).await?))),
                false => Ok(Stream::Plain(socket)),
            };
        };
        let shaking = connector.connect_with(name, socket, |tls| tls.set_buffer_limit(Some(LAYER_BYTES)));
        let shaken = within("the TLS handshake", shaking).await?;
        let tls = TlsStream::Client(shaken.map_err(|error| handshake_in_words(&error))?);
        match url.scheme.is_websocket() {
            true => Ok(Stream::SecureWebSocket(Box::new(upgrade(tls, url).await?))),
            false => Ok(Stream::Tls(Box::new(tls))),
        }
    }

    async fn prepare_tls(
        &self,
        url: &Url,
    ) -> Result<(TlsConnector, rustls::pki_types::ServerName<'static>), String> {
        let name = self.tls.server_name(&url.host).map_err(|error| error.to_string())?;
        let tls = self.tls.clone();
        match spawn_blocking(move || tls.load()).await {
            Ok(Ok(config)) => Ok((TlsConnector::from(Arc::clone(&config)), name)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("reading certificates broke down".to_owned()),
        }
    }

    fn tune(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(self.dead_after))?;
        let (idle, pause) = KEEP_ALIVE;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(pause))?;
        // What a write has taken is then soon on its way: a write that advances proves that the link lives.
        socket.set_tcp_notsent_lowat(UPLINK_UNSENT_BYTES)
    }
}

async fn upgrade<S>(stream: S, url: &Url) -> Result<websocket::WebSocket<S>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let upgraded =
        within("the WebSocket handshake", websocket::connect(stream, &url.authority(), &url.path)).await?;
    upgraded.map_err(|error| match error {
        websocket::UpgradeError::Io(error) => handshake_in_words(&error),
        other => other.to_string(),
    })
}

async fn within<T>(what: &str, step: impl Future<Output = T>) -> Result<T, String> {
    let seconds = TLS_HANDSHAKE_DEADLINE.as_secs();
    timeout(TLS_HANDSHAKE_DEADLINE, step)
        .await
        .map_err(|_| format!("{what} did not come to its end within {seconds} s"))
}

fn handshake_in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the server closed the connection in the middle of the handshake: is it the right port?"
                .to_owned()
        }
        _ => in_words(error),
    }
}
