//! MQTT over WebSocket (section 6 of 5.0): a stream of bytes in binary frames, with subprotocol `mqtt`.
//!
//! Answers pings and the close handshake by itself. A frame that is not binary ends the stream. Holds what is not
//! written yet, up to a bound, and nothing of what was read.

mod frames;
mod handshake;

pub(super) use handshake::connect;
pub use handshake::{AllowedOrigins, UpgradeError, accept};

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use rustls::crypto::SecureRandom;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::dial::LAYER_BYTES;
use frames::{Asked, Side, Unwrapper, Violation, wrap};

/// Above this, pings are not answered: who does not read need not be told.
const PONG_BYTES: usize = 4 * 1024;

/// A WebSocket over another stream.
#[derive(Debug)]
pub struct WebSocket<S> {
    inner: S,
    side: Side,
    unwrapper: Unwrapper,
    /// What was read with the handshake and lies behind it.
    early: Bytes,
    /// Frames that are not written yet.
    waiting: BytesMut,
    closing: Closing,
    random: &'static dyn SecureRandom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// We have said Close.
    Said,
    /// They have, and so have we.
    Both,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    fn new(inner: S, side: Side, early: Bytes) -> WebSocket<S> {
        WebSocket {
            inner,
            side,
            unwrapper: Unwrapper::new(side),
            early,
            waiting: BytesMut::new(),
            closing: Closing::No,
            random: rustls::crypto::ring::default_provider().secure_random,
        }
    }

    /// What it stands on.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Bytes that wait to be written.
    #[cfg(test)]
    pub(super) fn buffered_bytes(&self) -> usize {
        self.waiting.len()
    }

    /// A fresh key for each frame of a client (section 5.3).
    fn key(&self) -> io::Result<Option<[u8; 4]>> {
        if self.side == Side::Server {
            return Ok(None);
        }
        let mut key = [0; 4];
        self.random.fill(&mut key).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        Ok(Some(key))
    }

    fn put(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        let key = self.key()?;
        wrap(opcode, payload, key, &mut self.waiting);
        Ok(())
    }

    fn say_close(&mut self, code: CloseCode) -> io::Result<()> {
        if self.closing == Closing::No {
            self.closing = Closing::Said;
            self.put(OpCode::Control(Control::Close), &u16::from(code).to_be_bytes())?;
        }
        Ok(())
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        // An idle connection holds no buffer.
        self.waiting = BytesMut::new();
        Pin::new(&mut self.inner).poll_flush(context)
    }

    /// Writes what can be written; the rest is for later.
    fn drain_now(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.poll_drain(context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Ok(()),
        }
    }

    /// Fills `bytes` with what came, frames and all; how much that is.
    fn poll_raw(&mut self, context: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(bytes.len());
            let early = self.early.split_to(count);
            bytes.get_mut(..count).unwrap_or_default().copy_from_slice(&early);
            return Poll::Ready(Ok(count));
        }
        let mut buffer = ReadBuf::new(bytes);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn answer(&mut self, asked: Asked) -> io::Result<()> {
        match asked {
            Asked::Pong(payload) if self.waiting.len() < PONG_BYTES => {
                self.put(OpCode::Control(Control::Pong), &payload)
            }
            Asked::Pong(_) => Ok(()),
            Asked::Close(code) => {
                let echo = code.map_or(CloseCode::Normal, CloseCode::from);
                self.say_close(if echo.is_allowed() { echo } else { CloseCode::Protocol })?;
                self.closing = Closing::Both;
                Ok(())
            }
        }
    }

    fn end(&mut self, context: &mut Context<'_>, violation: Violation) -> io::Error {
        // The reason is the violation; that its farewell could not be written adds nothing.
        let _ = self.say_close(violation.code()).and_then(|()| self.drain_now(context));
        self.closing = Closing::Both;
        io::Error::new(io::ErrorKind::InvalidData, format!("not MQTT over WebSocket: {violation}"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A pong that did not fit before.
        if !this.waiting.is_empty() {
            this.drain_now(context)?;
        }
        loop {
            if this.closing == Closing::Both || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let bytes = buffer.initialize_unfilled();
            let count = ready!(this.poll_raw(context, bytes))?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut asked = Vec::new();
            let raw = bytes.get_mut(..count).unwrap_or_default();
            let data = match this.unwrapper.unwrap(raw, &mut asked) {
                Ok(data) => data,
                Err(violation) => return Poll::Ready(Err(this.end(context, violation))),
            };
            let answers = !asked.is_empty();
            for asked in asked {
                this.answer(asked)?;
            }
            if answers {
                this.drain_now(context)?;
            }
            if data > 0 {
                buffer.advance(data);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closing != Closing::No {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while this.waiting.len() >= LAYER_BYTES {
            ready!(this.poll_drain(context))?;
        }
        let taken = bytes.get(..LAYER_BYTES).unwrap_or(bytes);
        this.put(OpCode::Data(Data::Binary), taken)?;
        this.drain_now(context)?;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.say_close(CloseCode::Normal)?;
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}
