//! From what the broker sends to bytes in a socket: one buffer and one write for everything that waits.
//!
//! A PUBLISH comes encoded, the same bytes for all its receivers: a small one is copied and its copy patched, a
//! large one is sent from where it lies, only its head is copied. Never waits; says what could not be written yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};

use super::buffers;
use super::wire::Line;
use crate::broker::PublishFrame;
use crate::mqtt::{self, EncodeError, Packet, PacketIdentifier, ProtocolVersion};

/// From this size on a PUBLISH is not copied.
const SHARED_FRAME_BYTES: usize = 8 * 1024;
/// Pieces given to one vectored write.
const SLICES: usize = 32;
/// DUP in the first byte of a PUBLISH (section 3.3.1.1).
const DUP_FLAG: u8 = 0b1000;

/// The bytes of a connection that are not in its socket yet.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Borrowed for as long as something waits.
    unsent: Option<Box<Unsent>>,
    /// Whether TLS or WebSocket hold something that the socket has not taken.
    unflushed: bool,
}

/// Bytes in the order in which they go.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Go before `tail`.
    pieces: VecDeque<Bytes>,
    pub(super) tail: BytesMut,
    waiting_bytes: usize,
}

impl Writer {
    /// How many bytes are not written yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.waiting_bytes)
    }

    /// Whether anything is not in the socket yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_bytes() > 0 || self.unflushed
    }

    /// Puts a packet behind what waits.
    pub(super) fn put(&mut self, packet: &Packet, version: ProtocolVersion) -> Result<(), EncodeError> {
        let unsent = self.unsent.get_or_insert_with(buffers::borrow);
        let before = unsent.tail.len();
        mqtt::encode(version, packet, &mut unsent.tail)?;
        unsent.waiting_bytes += unsent.tail.len() - before;
        Ok(())
    }

    /// Puts an encoded PUBLISH behind what waits, with its own identifier and DUP flag.
    pub(super) fn put_publish(&mut self, frame: &PublishFrame, id: Option<PacketIdentifier>, dup: bool) {
        let bytes = &frame.bytes;
        let identifier_end = frame.packet_identifier_at.map_or(1, |at| at + 2);
        let copied = if bytes.len() < SHARED_FRAME_BYTES { bytes.len() } else { identifier_end };
        let copied = copied.min(bytes.len());

        let Unsent { pieces, tail, waiting_bytes } = &mut **self.unsent.get_or_insert_with(buffers::borrow);
        let start = tail.len();
        tail.extend_from_slice(bytes.get(..copied).unwrap_or_default());
        let copy = tail.get_mut(start..).unwrap_or_default();
        if dup && let Some(first) = copy.first_mut() {
            *first |= DUP_FLAG;
        }
        if let (Some(at), Some(id)) = (frame.packet_identifier_at, id)
            && let Some(place) = copy.get_mut(at..at + 2)
        {
            place.copy_from_slice(&id.get().to_be_bytes());
        }
        if copied < bytes.len() {
            pieces.push_back(tail.split().freeze());
            pieces.push_back(bytes.slice(copied..));
        }
        *waiting_bytes += bytes.len();
    }

    /// Writes as much as the socket takes now; how many bytes that was.
    pub(super) fn write(&mut self, line: &mut Line) -> io::Result<usize> {
        let mut total = 0;
        if let Some(unsent) = &mut self.unsent {
            total = unsent.write(line)?;
        }
        if self.waiting_bytes() == 0
            && let Some(unsent) = self.unsent.take()
        {
            buffers::give_back(unsent);
        }
        self.unflushed = match line.try_flush() {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(error),
        };
        Ok(total)
    }
}

impl Unsent {
    pub(super) fn with_room(bytes: usize) -> Unsent {
        Unsent { tail: BytesMut::with_capacity(bytes), ..Unsent::default() }
    }

    fn write(&mut self, line: &mut Line) -> io::Result<usize> {
        let mut total = 0;
        while self.waiting_bytes > 0 {
            match self.write_once(line) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.advance(count);
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn write_once(&self, line: &mut Line) -> io::Result<usize> {
        if self.pieces.is_empty() {
            return line.try_write(&self.tail);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[..]]);
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        line.try_write_vectored(slices.get(..count).unwrap_or_default())
    }

    fn advance(&mut self, mut count: usize) {
        self.waiting_bytes -= count;
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
        self.tail.advance(count);
    }
}
