//! One open connection: packets in, packets out, over any stream.
//!
//! Knows no deadline: it says when writing is blocked and when it goes on.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::connector::Stream;
use crate::limits::READ_BUFFER_BYTES;
use crate::mqtt::{Decoder, EncodeError, Packet, ProtocolVersion, encode};
use crate::stream::in_words;

/// What happened on a connection.
#[derive(Debug)]
pub(super) enum Happening {
    /// Packets came in.
    Packets(Vec<Packet>),
    /// The stream takes no more bytes for now.
    WriteBlocked,
    /// It took bytes again.
    WriteAdvanced,
    /// The connection is over; in words.
    Closed(String),
}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    version: ProtocolVersion,
    decoder: Decoder,
    incoming: BytesMut,
    outgoing: BytesMut,
    blocked: bool,
    flushed: bool,
    damage: Option<String>,
}

impl Connection {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        version: ProtocolVersion,
        max_packet_bytes: usize,
    ) -> Connection {
        Connection {
            stream,
            version,
            decoder: Decoder::of_server(version, max_packet_bytes),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            blocked: false,
            flushed: true,
            damage: None,
        }
    }

    /// Puts a packet behind those that wait to be written.
    pub(super) fn send(&mut self, packet: &Packet) -> Result<(), EncodeError> {
        encode(self.version, packet, &mut self.outgoing)
    }

    /// Puts packets that are encoded already behind those that wait to be written.
    pub(super) fn send_encoded(&mut self, packets: &[u8]) {
        self.outgoing.extend_from_slice(packets);
    }

    /// Writes what waits, and reads, if `read`, until something happens. May be dropped at any time.
    pub(super) async fn next(&mut self, read: bool) -> Happening {
        std::future::poll_fn(|context| self.poll(read, context)).await
    }

    /// Writes everything that waits.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_drain(context)).await
    }

    /// Writes what the stream takes now, on the way to closing it.
    pub(super) fn write_now(&mut self) {
        let _ = self.poll_drain(&mut Context::from_waker(Waker::noop()));
    }

    fn poll(&mut self, read: bool, context: &mut Context<'_>) -> Poll<Happening> {
        let before = self.outgoing.len();
        match self.poll_drain(context) {
            Poll::Ready(Err(error)) => return Poll::Ready(Happening::Closed(in_words(&error))),
            Poll::Ready(Ok(())) if std::mem::take(&mut self.blocked) => {
                return Poll::Ready(Happening::WriteAdvanced);
            }
            Poll::Ready(Ok(())) => {}
            Poll::Pending if !self.blocked => {
                self.blocked = true;
                return Poll::Ready(Happening::WriteBlocked);
            }
            Poll::Pending if self.outgoing.len() < before => {
                self.blocked = false;
                return Poll::Ready(Happening::WriteAdvanced);
            }
            Poll::Pending => {}
        }
        if read { self.poll_read(context) } else { Poll::Pending }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            self.flushed = false;
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        loop {
            if let Some(words) = self.damage.take() {
                return Poll::Ready(Happening::Closed(words));
            }
            self.incoming.reserve(READ_BUFFER_BYTES);
            match ready!(pin!(self.stream.read_buf(&mut self.incoming)).poll(context)) {
                Ok(0) => return Poll::Ready(Happening::Closed("the server closed it".to_owned())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Happening::Closed(in_words(&error))),
            }
            let packets = self.decode();
            if !packets.is_empty() {
                return Poll::Ready(Happening::Packets(packets));
            }
        }
    }

    /// The packets that are complete. Damage is kept until those before it were taken.
    fn decode(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.decoder.decode(&mut self.incoming) {
                Ok(Some((packet, _))) => packets.push(packet),
                Ok(None) => return packets,
                Err(error) => {
                    self.damage = Some(format!("the server sends what is not MQTT: {error}"));
                    return packets;
                }
            }
        }
    }
}
