//! Byte streams under MQTT: TCP and Unix sockets, plain, with TLS, with WebSocket, or with both.
//!
//! ```text
//! MQTT bytes ── WebSocket frames (optional) ── TLS (optional) ── Socket: TCP or Unix
//! ```
//!
//! [`Stream`] is what the broker's connections run on, for accepted ones; [`Route`] opens one to a server, for
//! uplinks and the commands. Plain sockets stay plain: what lies between is one branch of an `enum`. Never looks at
//! MQTT, never decides who may connect, never retries.

mod dial;
mod proxied;
mod proxy;
mod resolve;
mod socket;
mod tls;
mod url;
mod websocket;
mod words;

#[cfg(test)]
mod tests;

pub use dial::Route;
pub use proxied::{ProxiedError, read_header as read_proxy_header};
pub use proxy::Proxy;
pub use socket::Socket;
pub use tls::{
    ClientAuthentication, ClientTls, ServerTls, TlsFileError, common_name, ends_at as certificate_ends_at,
};
pub use url::{Scheme, Url};
pub use websocket::{AllowedOrigins, UpgradeError, WebSocket, accept as accept_websocket};
pub use words::{day, in_words};

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// A stream of bytes in both directions.
#[derive(Debug)]
pub enum Stream {
    /// Nothing in between.
    Plain(Socket),
    /// Encrypted.
    Tls(Box<TlsStream<Socket>>),
    /// In WebSocket frames.
    WebSocket(Box<WebSocket<Socket>>),
    /// In WebSocket frames, encrypted.
    SecureWebSocket(Box<WebSocket<TlsStream<Socket>>>),
}

impl Stream {
    /// Encrypts an accepted connection; waits for the client's part of the handshake, without a deadline of its own.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn accept_tls(
        socket: Socket,
        config: Arc<rustls::ServerConfig>,
    ) -> io::Result<Box<TlsStream<Socket>>> {
        let accepted = tokio_rustls::TlsAcceptor::from(config).accept(socket).await?;
        Ok(Box::new(TlsStream::Server(accepted)))
    }

    /// What everything else stands on.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::WebSocket(websocket) => websocket.inner(),
            Stream::SecureWebSocket(websocket) => websocket.inner().get_ref().0,
        }
    }

    /// Ready when the socket may take bytes again, after [`Stream::try_write_vectored`] or
    /// [`Stream::try_flush`] said that it does not.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_write_ready(context)
    }

    /// Writes what can be written now. What was taken may still be on its way through TLS or WebSocket: see
    /// [`Stream::try_flush`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing can be written now.
    pub fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write_vectored(slices),
            layered => {
                // Who waits, waits for the socket: see `poll_write_ready`.
                let context = &mut Context::from_waker(Waker::noop());
                now(Pin::new(layered).poll_write_vectored(context, slices))
            }
        }
    }

    /// As [`Stream::try_write_vectored`], for one slice.
    ///
    /// # Errors
    /// `WouldBlock` when nothing can be written now.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write(bytes),
            layered => {
                let context = &mut Context::from_waker(Waker::noop());
                now(Pin::new(layered).poll_write(context, bytes))
            }
        }
    }

    /// Pushes on what TLS or WebSocket still hold; nothing to do for a plain socket.
    ///
    /// # Errors
    /// `WouldBlock` when something is left that cannot be written now.
    pub fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            layered => now(Pin::new(layered).poll_flush(&mut Context::from_waker(Waker::noop()))),
        }
    }

    /// Says that nothing more comes, as far as that can be said now: the other side still gets to read what was
    /// sent before.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn close_write(&mut self) -> io::Result<()> {
        if !matches!(self, Stream::Plain(_)) {
            let closing = Pin::new(&mut *self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(Err(error)) = closing {
                return Err(error);
            }
        }
        self.socket().shutdown_write()
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Tls(tls) => end_at_cut(Pin::new(tls).poll_read(context, buffer)),
            Stream::WebSocket(websocket) => Pin::new(websocket).poll_read(context, buffer),
            Stream::SecureWebSocket(websocket) => end_at_cut(Pin::new(websocket).poll_read(context, buffer)),
        }
    }
}

/// Many peers close the socket without the farewell of TLS. MQTT has a farewell of its own, so that a cut stream is
/// noticed all the same.
fn end_at_cut(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        other => other,
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
            Stream::WebSocket(websocket) => Pin::new(websocket).poll_write(context, bytes),
            Stream::SecureWebSocket(websocket) => Pin::new(websocket).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
            Stream::WebSocket(websocket) => Pin::new(websocket).poll_write_vectored(context, slices),
            Stream::SecureWebSocket(websocket) => Pin::new(websocket).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(context),
            Stream::WebSocket(websocket) => Pin::new(websocket).poll_flush(context),
            Stream::SecureWebSocket(websocket) => Pin::new(websocket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(context),
            Stream::WebSocket(websocket) => Pin::new(websocket).poll_shutdown(context),
            Stream::SecureWebSocket(websocket) => Pin::new(websocket).poll_shutdown(context),
        }
    }
}
