//! What a connection's bytes travel on: a plain socket that the switchboard watches, or layers that a task drives.
//!
//! A plain socket is read and written here without the help of a runtime, which would hold a quarter of a KiB for
//! it: whether it is worth a try is two bits, set by the switchboard when the system says so and cleared when the
//! socket is empty or full. Never looks at the bytes.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use tokio::io::{AsyncRead, ReadBuf};

use crate::stream::{Socket, Stream};

/// See the module.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing in between.
    Wire(Wire),
    /// Whoever polls it is woken by the runtime.
    Layered(Box<Stream>),
    /// Between the two, or lost on the way from one to the other.
    Unplugged,
}

/// A plain socket, and whether it is worth a try.
#[derive(Debug)]
pub(super) struct Wire {
    socket: PlainSocket,
    readable: bool,
    writable: bool,
    /// The other side has closed its direction, or both are gone: there is no other sign of it to come.
    ended: bool,
}

#[derive(Debug)]
enum PlainSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Line {
    /// Whether there is nothing in between.
    pub(super) const fn is_plain(&self) -> bool {
        match self {
            Line::Wire(_) => true,
            Line::Layered(stream) => matches!(**stream, Stream::Plain(_)),
            Line::Unplugged => false,
        }
    }

    /// Takes a plain socket from the runtime; anything else stays as it is.
    ///
    /// # Errors
    /// When the socket is gone.
    pub(super) fn leave_runtime(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Line::Unplugged) {
            Line::Layered(stream) => match *stream {
                Stream::Plain(Socket::Tcp(stream)) => {
                    Line::wire(PlainSocket::Tcp(TcpStream::from_std(stream.into_std()?)))
                }
                Stream::Plain(Socket::Unix(stream)) => {
                    Line::wire(PlainSocket::Unix(UnixStream::from_std(stream.into_std()?)))
                }
                layered => Line::Layered(Box::new(layered)),
            },
            other => other,
        };
        Ok(())
    }

    const fn wire(socket: PlainSocket) -> Line {
        // Whether it really is both, the first try will tell.
        Line::Wire(Wire { socket, readable: true, writable: true, ended: false })
    }

    /// Has the system say under this token when there is something to read, or room to write.
    ///
    /// # Errors
    /// When the system has no room, or a runtime watches it.
    pub(super) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        match self {
            Line::Wire(Wire { socket: PlainSocket::Tcp(stream), .. }) => {
                stream.register(registry, token, interests)
            }
            Line::Wire(Wire { socket: PlainSocket::Unix(stream), .. }) => {
                stream.register(registry, token, interests)
            }
            Line::Layered(_) | Line::Unplugged => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// What the system said.
    pub(super) fn note(&mut self, event: &Event) {
        if let Line::Wire(wire) = self {
            wire.note(event);
        }
    }

    /// Reads once, when there is something; how many bytes that was, 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Line::Wire(wire) => wire.poll_read(bytes),
            Line::Layered(stream) => {
                // `poll_read` and not `try_read`: it knows that a read which did not fill the buffer has emptied the
                // socket, and saves the second read that would only say so.
                let mut buffer = ReadBuf::new(bytes);
                ready!(Pin::new(stream.as_mut()).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Line::Unplugged => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Ready when the socket may take bytes again, after a write said that it does not.
    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Line::Wire(wire) if wire.writable => Poll::Ready(()),
            Line::Wire(_) => Poll::Pending,
            Line::Layered(stream) => stream.poll_write_ready(context).map(|_| ()),
            Line::Unplugged => Poll::Ready(()),
        }
    }

    /// Writes what can be written now; `WouldBlock` when that is nothing.
    pub(super) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Line::Wire(wire) => wire.write(|socket| socket.write_vectored(slices)),
            Line::Layered(stream) => stream.try_write_vectored(slices),
            Line::Unplugged => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// As [`Line::try_write_vectored`], for one slice.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Line::Wire(wire) => wire.write(|socket| socket.write(bytes)),
            Line::Layered(stream) => stream.try_write(bytes),
            Line::Unplugged => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Pushes on what layers still hold; `WouldBlock` when something is left.
    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Line::Wire(_) | Line::Unplugged => Ok(()),
            Line::Layered(stream) => stream.try_flush(),
        }
    }

    /// Says that nothing more comes: the other side still gets to read what was sent before.
    pub(super) fn close_write(&mut self) -> io::Result<()> {
        match self {
            Line::Wire(Wire { socket: PlainSocket::Tcp(stream), .. }) => stream.shutdown(Shutdown::Write),
            Line::Wire(Wire { socket: PlainSocket::Unix(stream), .. }) => stream.shutdown(Shutdown::Write),
            Line::Layered(stream) => stream.close_write(),
            Line::Unplugged => Ok(()),
        }
    }
}

impl Wire {
    fn note(&mut self, event: &Event) {
        let broken = event.is_error();
        self.ended |= broken || event.is_read_closed();
        self.readable |= self.ended || event.is_readable();
        self.writable |= broken || event.is_writable() || event.is_write_closed();
    }

    fn poll_read(&mut self, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.readable {
            return Poll::Pending;
        }
        match until_uninterrupted(|| self.socket.read(bytes)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Poll::Pending
            }
            Ok(count) => {
                // A read that did not fill the buffer has emptied the socket: what comes later is said again, but
                // for the end, which was said already.
                self.readable = count == bytes.len() || self.ended;
                Poll::Ready(Ok(count))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn write(&mut self, mut once: impl FnMut(&mut PlainSocket) -> io::Result<usize>) -> io::Result<usize> {
        let written = until_uninterrupted(|| once(&mut self.socket));
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.writable = false;
        }
        written
    }
}

fn until_uninterrupted<T>(mut once: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match once() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

impl PlainSocket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            PlainSocket::Tcp(stream) => stream.read(bytes),
            PlainSocket::Unix(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            PlainSocket::Tcp(stream) => stream.write(bytes),
            PlainSocket::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            PlainSocket::Tcp(stream) => stream.write_vectored(slices),
            PlainSocket::Unix(stream) => stream.write_vectored(slices),
        }
    }
}
