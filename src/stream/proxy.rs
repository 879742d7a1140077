//! HTTP CONNECT (RFC 9110, section 9.3.6): a way out of networks that have only a web proxy.
//!
//! The proxy looks the server's name up. Its password is never shown.

use std::fmt;

use data_encoding::BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::in_words;
use super::url::{Url, split_port};

/// The longest answer of a proxy ahead of the tunnel.
const HEAD_BYTES: usize = 16 * 1024;

/// A web proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password, for proxies that want them.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({}:{})", self.host, self.port)
    }
}

impl Proxy {
    /// Reads `http://HOST[:PORT]`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Proxy, String> {
        let Some(authority) = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) else {
            return Err("a proxy is written \"http://HOST:PORT\"".to_owned());
        };
        if authority.contains('@') {
            return Err("its user and password have keys of their own: proxy_username, proxy_password".into());
        }
        let (host, port) = split_port(authority)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let good = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(good) {
            return Err(format!("{host:?} is no host name"));
        }
        Ok(Proxy { host: host.to_owned(), port: port.unwrap_or(3128), login: None })
    }

    /// Opens a tunnel through a connection to the proxy.
    pub(super) async fn tunnel(&self, mut stream: TcpStream, url: &Url) -> Result<TcpStream, String> {
        let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let target = format!("{host}:{}", url.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some((user, password)) = &self.login {
            let login = BASE64.encode(format!("{user}:{password}").as_bytes());
            request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
        }
        request.push_str("\r\n");
        let broken = |error| format!("the proxy {}:{}: {}", self.host, self.port, in_words(&error));
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES {
                return Err(format!("the proxy {}:{} answers without an end", self.host, self.port));
            }
            // Byte by byte: what follows belongs to the server.
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) => return Err(broken(error)),
            }
        }
        let status = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let code = status.split(' ').nth(1).unwrap_or_default();
        match (status.starts_with("HTTP/1."), code) {
            (true, code) if code.starts_with('2') && code.len() == 3 => Ok(stream),
            (true, "407") => Err(format!("the proxy {}:{} wants another login", self.host, self.port)),
            _ => Err(format!(
                "the proxy {}:{} does not let us through to {target}: {}",
                self.host,
                self.port,
                status.escape_debug()
            )),
        }
    }
}
