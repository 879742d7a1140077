//! The way of an accepted connection to its first byte of MQTT: the proxy's header, TLS, WebSocket.
//!
//! Each connection goes it in a task of its own, within one deadline: who dawdles holds nobody up but himself. Never
//! reads MQTT.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::certificates::Certificates;
use crate::limits::GATE_DEADLINE;
use crate::stream::{
    AllowedOrigins, ProxiedError, Socket, Stream, TlsFileError, UpgradeError, accept_websocket, common_name,
    in_words, read_proxy_header,
};

/// What lies between the sockets of a listener and MQTT.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// A load balancer in front says whose connection it is (PROXY protocol, version 2).
    pub proxied: bool,
    /// Encryption.
    pub tls: Option<Arc<Certificates>>,
    /// WebSocket, and from which web pages.
    pub websocket: Option<AllowedOrigins>,
}

/// A connection that is ready for MQTT.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) stream: Stream,
    /// Where it comes from; `None`: a Unix socket.
    pub(super) address: Option<SocketAddr>,
    /// Whom its certificate names.
    pub(super) user: Option<ByteString>,
}

/// Why a connection was turned away ahead of MQTT. Never an error of the gateway.
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnedAway {
    #[error("{0}")]
    Proxied(#[from] ProxiedError),
    #[error("{0}")]
    Files(#[from] TlsFileError),
    #[error("TLS: {}", in_words(.0))]
    Tls(io::Error),
    #[error("its certificate has no common name")]
    Nameless,
    #[error("{0}")]
    WebSocket(#[from] UpgradeError),
    #[error("the handshake was not done within {} s", .0.as_secs())]
    TooLate(Duration),
}

impl Layers {
    /// Whether there is nothing in between.
    pub(super) const fn are_none(&self) -> bool {
        !self.proxied && self.tls.is_none() && self.websocket.is_none()
    }

    /// Whether certificates name clients: the others are strangers then.
    pub(super) fn name_users(&self) -> bool {
        let clients = self.tls.as_ref().and_then(|tls| tls.files().clients.as_ref());
        clients.is_some_and(|clients| clients.names_user)
    }

    /// Lets a connection through.
    pub(super) async fn pass(
        &self,
        socket: Socket,
        address: Option<SocketAddr>,
    ) -> Result<Caller, TurnedAway> {
        match timeout(GATE_DEADLINE, self.pass_in_time(socket, address)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(TurnedAway::TooLate(GATE_DEADLINE)),
        }
    }

    async fn pass_in_time(
        &self,
        mut socket: Socket,
        mut address: Option<SocketAddr>,
    ) -> Result<Caller, TurnedAway> {
        if self.proxied
            && let Some(client) = read_proxy_header(&mut socket).await?
        {
            address = Some(client);
        }
        let Some(certificates) = &self.tls else {
            let stream = match &self.websocket {
                Some(origins) => Stream::WebSocket(Box::new(accept_websocket(socket, origins, false).await?)),
                None => Stream::Plain(socket),
            };
            return Ok(Caller { stream, address, user: None });
        };
        let config = certificates.current()?;
        let tls = Stream::accept_tls(socket, config).await.map_err(TurnedAway::Tls)?;
        let user = user_of(certificates, &tls)?;
        let stream = match &self.websocket {
            Some(origins) => Stream::SecureWebSocket(Box::new(accept_websocket(*tls, origins, true).await?)),
            None => Stream::Tls(tls),
        };
        Ok(Caller { stream, address, user })
    }
}

/// An address for logs and events.
pub(super) fn name_of(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

/// Whom the client's certificate names, where that counts.
fn user_of(certificates: &Certificates, tls: &TlsStream<Socket>) -> Result<Option<ByteString>, TurnedAway> {
    let names = certificates.files().clients.as_ref().is_some_and(|clients| clients.names_user);
    let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    match shown.filter(|_| names) {
        None => Ok(None),
        Some(certificate) => match common_name(certificate) {
            Some(name) => Ok(Some(name.into())),
            None => Err(TurnedAway::Nameless),
        },
    }
}
