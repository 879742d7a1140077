//! Any control packet as a value. The same types serve all versions: what a version does not know is left at its
//! default and not written.

use bytestring::ByteString;

use super::fixed_header::{FixedHeader, Sender};
use super::reader::Reader;
use super::writer::Sink;
use super::{
    Acknowledgement, Auth, ConnAck, Connect, DecodeError, Disconnect, EncodeError, PacketIdentifier,
    PacketType, ProtocolVersion, Publish, ReasonCode, SubAck, Subscribe, UnsubAck, Unsubscribe,
};

/// Any control packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(Box<ConnAck>),
    Publish(Publish),
    PubAck(Acknowledgement),
    PubRec(Acknowledgement),
    PubRel(Acknowledgement),
    PubComp(Acknowledgement),
    Subscribe(Box<Subscribe>),
    SubAck(Box<SubAck>),
    Unsubscribe(Box<Unsubscribe>),
    UnsubAck(Box<UnsubAck>),
    PingReq,
    PingResp,
    Disconnect(Box<Disconnect>),
    Auth(Box<Auth>),
}

/// Name and value pairs that are carried, in order, and mean nothing to us (section 2.2.2.2 of 5.0).
pub type UserProperties = Vec<(ByteString, ByteString)>;

impl Packet {
    /// Its type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    /// Reads the body of a packet that is nothing but a packet identifier, or nothing at all, where it lies: half of
    /// all packets are such acknowledgements, and need no share in the buffer. `None` also for what is wrong.
    #[inline]
    pub(super) fn read_in_place(packet_type: PacketType, body: &[u8]) -> Option<Packet> {
        let acknowledgement = || {
            let packet_identifier = PacketIdentifier::new(u16::from_be_bytes(body.try_into().ok()?))?;
            Some(Acknowledgement::new(packet_identifier, ReasonCode::Success))
        };
        match packet_type {
            PacketType::PubAck => acknowledgement().map(Packet::PubAck),
            PacketType::PubRec => acknowledgement().map(Packet::PubRec),
            PacketType::PubRel => acknowledgement().map(Packet::PubRel),
            PacketType::PubComp => acknowledgement().map(Packet::PubComp),
            PacketType::PingReq if body.is_empty() => Some(Packet::PingReq),
            PacketType::PingResp if body.is_empty() => Some(Packet::PingResp),
            _ => None,
        }
    }

    /// Reads the body of any packet but CONNECT, which says its version itself.
    #[inline]
    pub(super) fn read(
        reader: Reader,
        header: FixedHeader,
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Packet, DecodeError> {
        if header.packet_type == PacketType::Publish {
            return Publish::read(reader, header.flags, version, sender).map(Packet::Publish);
        }
        Packet::read_rarer(reader, header, version, sender)
    }

    // Apart, so that the way of a PUBLISH stays short.
    #[inline(never)]
    fn read_rarer(
        reader: Reader,
        header: FixedHeader,
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Packet, DecodeError> {
        let packet_type = header.packet_type;
        let acknowledgement = |reader| Acknowledgement::read(reader, packet_type, version, sender);
        Ok(match packet_type {
            PacketType::Connect | PacketType::Publish => {
                return Err(DecodeError::protocol("read in its own way"));
            }
            PacketType::ConnAck => Packet::ConnAck(Box::new(ConnAck::read(reader, version)?)),
            PacketType::PubAck => Packet::PubAck(acknowledgement(reader)?),
            PacketType::PubRec => Packet::PubRec(acknowledgement(reader)?),
            PacketType::PubRel => Packet::PubRel(acknowledgement(reader)?),
            PacketType::PubComp => Packet::PubComp(acknowledgement(reader)?),
            PacketType::Subscribe => Packet::Subscribe(Box::new(Subscribe::read(reader, version)?)),
            PacketType::SubAck => Packet::SubAck(Box::new(SubAck::read(reader, version)?)),
            PacketType::Unsubscribe => Packet::Unsubscribe(Box::new(Unsubscribe::read(reader, version)?)),
            PacketType::UnsubAck => Packet::UnsubAck(Box::new(UnsubAck::read(reader, version)?)),
            PacketType::PingReq => {
                reader.finish()?;
                Packet::PingReq
            }
            PacketType::PingResp => {
                reader.finish()?;
                Packet::PingResp
            }
            PacketType::Disconnect => {
                Packet::Disconnect(Box::new(Disconnect::read(reader, version, sender)?))
            }
            PacketType::Auth => Packet::Auth(Box::new(Auth::read(reader, sender)?)),
        })
    }

    /// Type and flags.
    pub(super) fn first_byte(&self) -> u8 {
        let flags = match self {
            Packet::Publish(publish) => publish.flags(),
            other => other.packet_type().required_flags().unwrap_or(0),
        };
        self.packet_type().as_u8() << 4 | flags
    }

    /// Writes what follows the fixed header.
    pub(super) fn write_body(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        match self {
            Packet::Connect(packet) => packet.write(sink),
            Packet::ConnAck(packet) => packet.write(version, sink),
            Packet::Publish(packet) => packet.write(version, sink),
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => packet.write(version, sink),
            Packet::Subscribe(packet) => packet.write(version, sink),
            Packet::SubAck(packet) => packet.write(version, sink),
            Packet::Unsubscribe(packet) => packet.write(version, sink),
            Packet::UnsubAck(packet) => packet.write(version, sink),
            Packet::PingReq | Packet::PingResp => {}
            Packet::Disconnect(packet) => packet.write(version, sink),
            Packet::Auth(packet) => packet.write(sink),
        }
    }

    /// Whether the version can say it.
    pub(super) fn check_expressible(&self, version: ProtocolVersion) -> Result<(), EncodeError> {
        match self {
            Packet::Connect(packet) => packet.check_expressible(),
            Packet::Publish(packet) => packet.check_expressible(version),
            Packet::Auth(_) if !version.is_v5() => Err(EncodeError::NotInThisVersion("AUTH")),
            _ => Ok(()),
        }
    }
}
