//! From a socket's bytes to packets, whatever way they are split. Never judges a packet.

use std::io;

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::buffers;
use crate::mqtt::{DecodeError, Decoder, Packet, ProtocolVersion};

/// A rest of at most this many bytes is copied to the front of what is read next, in exact size.
const SMALL_REST_BYTES: usize = 4096;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The other side closed its direction.
    End,
}

/// The bytes of a connection that are not packets yet.
#[derive(Debug)]
pub(super) struct Reader {
    decoder: Decoder,
    pending: BytesMut,
}

impl Reader {
    pub(super) fn new(decoder: Decoder) -> Reader {
        Reader { decoder, pending: BytesMut::new() }
    }

    /// What the other side understands, as far as it has said.
    pub(super) const fn version(&self) -> Option<ProtocolVersion> {
        self.decoder.version()
    }

    /// Changes how many bytes a packet may have.
    pub(super) const fn set_max_packet_bytes(&mut self, max_packet_bytes: usize) {
        self.decoder.set_max_packet_bytes(max_packet_bytes);
    }

    /// Reads once from a socket that was said to be readable.
    pub(super) fn read(&mut self, stream: &TcpStream) -> io::Result<Arrived> {
        buffers::with_scratch(|scratch| match stream.try_read(scratch) {
            Ok(0) => Ok(Arrived::End),
            Ok(count) => {
                self.append(scratch.get(..count).unwrap_or_default());
                Ok(Arrived::Bytes(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Arrived::Nothing),
            Err(error) => Err(error),
        })
    }

    /// The next whole packet.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        let packet = self.decoder.decode(&mut self.pending)?.map(|(packet, _)| packet);
        if self.pending.is_empty() {
            // Even an empty rest would keep the bytes of its packets alive.
            self.pending = BytesMut::new();
        }
        Ok(packet)
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.pending.len() <= SMALL_REST_BYTES {
            let mut exact = BytesMut::with_capacity(self.pending.len() + bytes.len());
            exact.extend_from_slice(&self.pending);
            exact.extend_from_slice(bytes);
            self.pending = exact;
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }
}
