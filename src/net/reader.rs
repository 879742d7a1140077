//! From a socket's bytes to packets, whatever way they are split. Never judges a packet.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::buffers;
use super::wire::Line;
use crate::mqtt::{DecodeError, Decoder, Packet, ProtocolVersion};

/// A rest of at most this many bytes is copied to the front of what is read next, in exact size.
const SMALL_REST_BYTES: usize = 4096;

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

    /// Reads once, when there is something; how many bytes that was, 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        line: &mut Line,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        poll_into_scratch(line, context, |bytes| self.append(bytes))
    }

    /// Reads once and throws away what came.
    pub(super) fn poll_discard(line: &mut Line, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_into_scratch(line, context, |_| ())
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

fn poll_into_scratch(
    line: &mut Line,
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    buffers::with_scratch(|scratch| {
        let count = ready!(line.poll_read(context, scratch))?;
        take(scratch.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    })
}
