//! The handshake (RFC 6455, section 4), with subprotocol `mqtt`, on both sides.
//!
//! Reads a bounded head and nothing else. Has no deadline of its own: who calls it has.

use std::io;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::handshake::client::{Response, generate_key};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response};
use tungstenite::http::HeaderMap;

use super::{Side, WebSocket};
use crate::stream::url::split_port;

/// The longest head of a request or a response; browsers send their cookies along.
const HEAD_BYTES: usize = 16 * 1024;
/// `[MQTT-6.0.0-3]`
const SUBPROTOCOL: &str = "mqtt";
/// What clients of 3.1 say, from before there was a standard.
const OLD_SUBPROTOCOL: &str = "mqttv3.1";

/// From which web pages a browser may connect. What is no browser sends no origin, or our own, and is not meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Exactly these, as in `https://example.com`; `*` stands for all.
    #[must_use]
    pub fn new(origins: Vec<String>) -> AllowedOrigins {
        AllowedOrigins(origins)
    }

    fn allow(&self, origin: &str, host: &str, encrypted: bool) -> bool {
        let listed = self.0.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
        listed || is_our_own(origin, host, encrypted)
    }
}

/// Whether an origin is this very server, which serves no pages: some programs say so. A page on a name that its
/// owner has turned towards us (DNS rebinding) looks the same; so without TLS, where names are not proved, only
/// addresses count, and localhost.
fn is_our_own(origin: &str, host: &str, encrypted: bool) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let name = split_port(host).map_or("", |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_proved = encrypted || is_address || name.eq_ignore_ascii_case("localhost");
    is_proved && !name.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ended before the handshake did.
    #[error("it was closed in the middle of the WebSocket handshake")]
    Closed,
    /// The head has no end.
    #[error("the head of the WebSocket handshake is longer than {HEAD_BYTES} bytes")]
    TooLong,
    /// It is something else.
    #[error("no WebSocket handshake: {0}")]
    NotWebSocket(String),
    /// Another protocol than MQTT is wanted.
    #[error("the WebSocket subprotocol {SUBPROTOCOL:?} is not asked for")]
    NotMqtt,
    /// A browser on a page that is not allowed.
    #[error("a web page of {0} is not among the allowed_origins")]
    Origin(String),
    /// The server says no.
    #[error("the server refuses the WebSocket: {0}")]
    Refused(String),
}

/// The server's side. Answers a request that is refused, too. `encrypted`: whether TLS lies below.
///
/// # Errors
/// When no WebSocket came about.
pub async fn accept<S>(
    mut stream: S,
    origins: &AllowedOrigins,
    encrypted: bool,
) -> Result<WebSocket<S>, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (answer, early) = match read_head::<Request, S>(&mut stream).await {
        Ok((request, early)) => (judge(&request, origins, encrypted), early),
        Err(error @ (UpgradeError::NotWebSocket(_) | UpgradeError::TooLong)) => (Err(error), Bytes::new()),
        Err(error) => return Err(error),
    };
    let text = match &answer {
        Ok(text) => text.clone(),
        Err(error) => refusal(error),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    if let Err(error) = answer {
        // It gets to read the answer before the connection is gone.
        let _ = stream.shutdown().await;
        return Err(error);
    }
    Ok(WebSocket::new(stream, Side::Server, early))
}

/// The answer that makes it a WebSocket.
fn judge(request: &Request, origins: &AllowedOrigins, encrypted: bool) -> Result<String, UpgradeError> {
    let response = create_response(request).map_err(|error| UpgradeError::NotWebSocket(error.to_string()))?;
    let headers = request.headers();
    if let Some(origin) = headers.get("Origin") {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let host = headers.get("Host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !origins.allow(&origin, host, encrypted) {
            return Err(UpgradeError::Origin(origin.escape_debug().to_string()));
        }
    }
    // [MQTT-6.0.0-3], [MQTT-6.0.0-4]
    let protocol = [SUBPROTOCOL, OLD_SUBPROTOCOL]
        .into_iter()
        .find(|protocol| offers(headers, protocol))
        .ok_or(UpgradeError::NotMqtt)?;
    let accept = response.headers().get("Sec-WebSocket-Accept").map(|accept| accept.as_bytes());
    let accept = String::from_utf8_lossy(accept.unwrap_or_default());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    ))
}

fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    let lines = headers.get_all("Sec-WebSocket-Protocol").into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|offered| offered.trim().eq_ignore_ascii_case(protocol))
}

fn refusal(error: &UpgradeError) -> String {
    let status = match error {
        UpgradeError::Origin(_) => "403 Forbidden",
        UpgradeError::NotMqtt | UpgradeError::TooLong => "400 Bad Request",
        _ => "426 Upgrade Required",
    };
    let body = format!("This is an MQTT server: {error}.\n");
    format!(
        "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The client's side; `host` as it stands in the URL, with its port where it is not the usual one.
///
/// # Errors
/// When no WebSocket came about.
pub(in crate::stream) async fn connect<S>(
    mut stream: S,
    host: &str,
    path: &str,
) -> Result<WebSocket<S>, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (response, early) = read_head::<Response, S>(&mut stream).await?;
    let headers = response.headers();
    let says = |name: &str, value: &str| {
        let found = headers.get(name).and_then(|found| found.to_str().ok()).unwrap_or_default();
        found.split(',').any(|part| part.trim().eq_ignore_ascii_case(value))
    };
    if response.status().as_u16() != 101 {
        return Err(UpgradeError::Refused(response.status().to_string()));
    }
    let accept = headers.get("Sec-WebSocket-Accept").map(|accept| accept.as_bytes());
    let accepted = accept == Some(derive_accept_key(key.as_bytes()).as_bytes());
    if !accepted || !says("Upgrade", "websocket") || !says("Connection", "Upgrade") {
        return Err(UpgradeError::Refused("its answer does not belong to our request".to_owned()));
    }
    if !says("Sec-WebSocket-Protocol", SUBPROTOCOL) {
        return Err(UpgradeError::NotMqtt);
    }
    if headers.contains_key("Sec-WebSocket-Extensions") {
        return Err(UpgradeError::Refused("it uses an extension that nobody asked for".to_owned()));
    }
    Ok(WebSocket::new(stream, Side::Client, early))
}

/// The head of a request or a response, and what was read beyond it.
async fn read_head<T, S>(stream: &mut S) -> Result<(T, Bytes), UpgradeError>
where
    T: TryParse,
    S: AsyncRead + Unpin,
{
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(UpgradeError::Closed);
        }
        match T::try_parse(&bytes) {
            Ok(Some((length, head))) => {
                let _ = bytes.split_to(length.min(bytes.len()));
                return Ok((head, bytes.freeze()));
            }
            Ok(None) if bytes.len() >= HEAD_BYTES => return Err(UpgradeError::TooLong),
            Ok(None) => {}
            Err(error) => return Err(UpgradeError::NotWebSocket(error.to_string())),
        }
    }
}
