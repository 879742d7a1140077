//! From bytes to packets and back. Holds no bytes of its own and never blocks, allocates ahead of what has
//! arrived, or remembers anything of a session.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::connect::{Protocol, read_protocol};
use super::fixed_header::{FixedHeader, Sender};
use super::reader::Reader;
use super::writer::{Measure, Sink, varint_length};
use super::{Connect, DecodeError, EncodeError, Packet, PacketType, ProtocolVersion, ReasonCode};

/// Reads the packets of one connection, of one direction, from bytes that may be split anywhere.
///
/// The payload and the strings of a PUBLISH are slices of the buffer that was read into: whoever keeps a small one
/// for long keeps a copy ([`crate::durable::Message::detached`]), or the whole buffer stays in memory.
#[derive(Debug)]
pub struct Decoder {
    sender: Sender,
    version: Option<ProtocolVersion>,
    max_packet_bytes: usize,
}

impl Decoder {
    /// Reads what a client sends. Its CONNECT says the version.
    #[must_use]
    pub const fn of_client(max_packet_bytes: usize) -> Decoder {
        Decoder { sender: Sender::Client, version: None, max_packet_bytes }
    }

    /// Reads what a server sends to a client that speaks this version.
    #[must_use]
    pub const fn of_server(version: ProtocolVersion, max_packet_bytes: usize) -> Decoder {
        Decoder { sender: Sender::Server, version: Some(version), max_packet_bytes }
    }

    /// The version that the other side understands. `None` until a client has sent a CONNECT that says it: then
    /// nothing can be answered. A CONNECT of an unknown version sets the one in which it is best refused.
    #[must_use]
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// Changes how many bytes a packet may have, its fixed header included.
    pub const fn set_max_packet_bytes(&mut self, max_packet_bytes: usize) {
        self.max_packet_bytes = max_packet_bytes;
    }

    /// Takes the next packet from the front of `buffer`, with its size on the wire.
    ///
    /// `Ok(None)`: it is not all there yet; nothing was taken.
    ///
    /// # Errors
    /// When the bytes are no acceptable packet. The connection can only be closed then: what is left in `buffer`
    /// means nothing.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<(Packet, usize)>, DecodeError> {
        let Some(header) = FixedHeader::read(buffer, self.sender, self.version)? else {
            return Ok(None);
        };
        header.check_size(self.max_packet_bytes)?;
        let Some(body) = buffer.get(header.length..header.packet_length) else {
            return Ok(None);
        };
        if let Some(packet) = Packet::read_in_place(header.packet_type, body) {
            buffer.advance(header.packet_length);
            return Ok(Some((packet, header.packet_length)));
        }
        let body = take_body(header, buffer);
        let packet = self.read_body(body, header).map_err(|error| error.within(header.packet_type))?;
        Ok(Some((packet, header.packet_length)))
    }

    #[inline]
    fn read_body(&mut self, body: Bytes, header: FixedHeader) -> Result<Packet, DecodeError> {
        let reader = Reader::new(body);
        match self.version {
            Some(version) => Packet::read(reader, header, version, self.sender),
            None => self.read_connect(reader, header),
        }
    }

    #[inline(never)]
    fn read_connect(&mut self, mut reader: Reader, header: FixedHeader) -> Result<Packet, DecodeError> {
        assert!(header.packet_type == PacketType::Connect, "no other packet passes before it");
        match read_protocol(&mut reader)? {
            Protocol::Known(version) => {
                self.version = Some(version);
                header.check_minimal(version)?;
                Ok(Packet::Connect(Box::new(Connect::read(reader, version)?)))
            }
            Protocol::Unknown { level, answer_in } => {
                self.version = Some(answer_in);
                let message = format!("protocol level {level} is not supported [MQTT-3.1.2-2]");
                Err(DecodeError::new(ReasonCode::UnsupportedProtocolVersion, message))
            }
        }
    }
}

/// Takes a packet from the buffer and gives its body: a slice of the buffer, unless its strings live as long as a
/// session. Those are copied, so that they do not keep a buffer of many times their size alive.
#[inline]
fn take_body(header: FixedHeader, buffer: &mut BytesMut) -> Bytes {
    let mut packet = buffer.split_to(header.packet_length);
    packet.advance(header.length);
    match header.packet_type {
        PacketType::Connect | PacketType::Subscribe => Bytes::copy_from_slice(&packet),
        _ => packet.freeze(),
    }
}

/// Appends a packet to `buffer`.
///
/// # Errors
/// When the packet cannot be expressed; nothing was written then.
pub fn encode(version: ProtocolVersion, packet: &Packet, buffer: &mut BytesMut) -> Result<(), EncodeError> {
    let length = body_length(version, packet)?;
    buffer.reserve(1 + varint_length(length) + length);
    buffer.put_u8(packet.first_byte());
    buffer.varint(length);
    packet.write_body(version, buffer);
    Ok(())
}

/// Bytes that a packet takes on the wire.
///
/// # Errors
/// As [`encode`].
pub fn encoded_len(version: ProtocolVersion, packet: &Packet) -> Result<usize, EncodeError> {
    let length = body_length(version, packet)?;
    Ok(1 + varint_length(length) + length)
}

fn body_length(version: ProtocolVersion, packet: &Packet) -> Result<usize, EncodeError> {
    packet.check_expressible(version)?;
    let mut measure = Measure::default();
    packet.write_body(version, &mut measure);
    measure.expressible()
}
