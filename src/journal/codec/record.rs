//! [`Record`]s, one kind byte each. A kind keeps its number and its layout for as long as the format version stands.

use std::num::NonZeroU32;

use super::message::{
    put_count, put_message, put_moment, put_will, read_filter, read_identifier, read_message, read_moment,
    read_qos, read_topic, read_will,
};
use super::wire::{Malformed, Put, Reader};
use crate::durable::{ConsumerId, Delivery, DropReason, Message, Record, Sequence};
use crate::mqtt::{PacketIdentifier, ProtocolVersion, QoS, RetainHandling, SubscriptionOptions, Will};
use crate::time::BootId;

type Result<T> = std::result::Result<T, Malformed>;

pub(super) mod kind {
    //! The kinds of records; those of the journal's own entries are 2 and from 32 on.
    pub(in crate::journal::codec) const KEPT: u8 = 1;
    pub(in crate::journal::codec) const DONE: u8 = 3;
    pub(in crate::journal::codec) const DROPPED: u8 = 4;
    pub(in crate::journal::codec) const ASSIGNED: u8 = 5;
    pub(in crate::journal::codec) const RELEASED: u8 = 6;
    pub(in crate::journal::codec) const WINDOW_FORGOTTEN: u8 = 7;
    pub(in crate::journal::codec) const RECEIVED: u8 = 8;
    pub(in crate::journal::codec) const RECEIVED_RELEASED: u8 = 9;
    pub(in crate::journal::codec) const SESSION_OPENED: u8 = 10;
    pub(in crate::journal::codec) const SESSION_DETACHED: u8 = 11;
    pub(in crate::journal::codec) const WILL_ENDED: u8 = 12;
    pub(in crate::journal::codec) const CONSUMER_CLOSED: u8 = 13;
    pub(in crate::journal::codec) const SUBSCRIBED: u8 = 14;
    pub(in crate::journal::codec) const UNSUBSCRIBED: u8 = 15;
    pub(in crate::journal::codec) const RETAINED_SET: u8 = 16;
    pub(in crate::journal::codec) const RETAINED_CLEARED: u8 = 17;
    pub(in crate::journal::codec) const UPLINK_OPENED: u8 = 18;
    pub(in crate::journal::codec) const BOOT_SYNCED: u8 = 19;
    pub(in crate::journal::codec) const GROUP_OPENED: u8 = 20;
}

/// The kind and the body of a record.
pub(super) fn put_record(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Kept { sequence, message, deliveries } => {
            out.put_u8(kind::KEPT);
            put_kept(out, *sequence, message, deliveries);
        }
        Record::Done { consumer, sequence } => {
            put_head(out, kind::DONE, *consumer);
            out.put_varint(sequence.0);
        }
        Record::Dropped { consumer, sequence, reason } => {
            put_head(out, kind::DROPPED, *consumer);
            out.put_varint(sequence.0);
            put_reason(out, *reason);
        }
        Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload } => {
            put_head(out, kind::ASSIGNED, *consumer);
            out.put_varint(u64::from(packet_identifier.get()));
            out.put_varint(sequence.0);
            out.put_u8(qos.as_u8());
            put_optional(out, frozen_payload.as_deref());
        }
        Record::Released { consumer, packet_identifier } => {
            put_head(out, kind::RELEASED, *consumer);
            out.put_varint(u64::from(packet_identifier.get()));
        }
        Record::WindowForgotten { consumer } => put_head(out, kind::WINDOW_FORGOTTEN, *consumer),
        Record::Received { consumer, packet_identifier } => {
            put_head(out, kind::RECEIVED, *consumer);
            out.put_varint(u64::from(packet_identifier.get()));
        }
        Record::ReceivedReleased { consumer, packet_identifier } => {
            put_head(out, kind::RECEIVED_RELEASED, *consumer);
            out.put_varint(u64::from(packet_identifier.get()));
        }
        Record::ConsumerClosed { consumer } => put_head(out, kind::CONSUMER_CLOSED, *consumer),
        Record::UplinkOpened { consumer, name } => {
            put_head(out, kind::UPLINK_OPENED, *consumer);
            out.put_bytes(name.as_bytes());
        }
        Record::GroupOpened { consumer, filter } => {
            put_head(out, kind::GROUP_OPENED, *consumer);
            out.put_bytes(filter.as_str().as_bytes());
        }
        Record::RetainedSet { message } => {
            out.put_u8(kind::RETAINED_SET);
            put_message(out, message);
        }
        Record::RetainedCleared { topic } => {
            out.put_u8(kind::RETAINED_CLEARED);
            out.put_bytes(topic.as_str().as_bytes());
        }
        Record::BootSynced { boot, unix_ms_at_zero } => {
            out.put_u8(kind::BOOT_SYNCED);
            out.put_u64_le(boot.0);
            out.put_signed(*unix_ms_at_zero);
        }
        Record::SessionOpened { .. }
        | Record::SessionDetached { .. }
        | Record::WillEnded { .. }
        | Record::Subscribed { .. }
        | Record::Unsubscribed { .. } => put_session_record(out, record),
    }
}

fn put_session_record(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::SessionOpened { consumer, client_id, user, version, expiry_interval_seconds, will } => {
            put_head(out, kind::SESSION_OPENED, *consumer);
            out.put_bytes(client_id.as_bytes());
            put_optional(out, user.as_ref().map(|user| user.as_bytes().as_ref()));
            out.put_u8(version_number(*version));
            out.put_varint(u64::from(*expiry_interval_seconds));
            put_optional_will(out, will.as_deref());
        }
        Record::SessionDetached { consumer, at, expiry_interval_seconds, will } => {
            put_head(out, kind::SESSION_DETACHED, *consumer);
            put_moment(out, at);
            out.put_varint(u64::from(*expiry_interval_seconds));
            put_optional_will(out, will.as_deref());
        }
        Record::WillEnded { consumer } => put_head(out, kind::WILL_ENDED, *consumer),
        Record::Subscribed { consumer, filter, options, identifier } => {
            put_head(out, kind::SUBSCRIBED, *consumer);
            out.put_bytes(filter.as_str().as_bytes());
            out.put_u8(options_byte(options));
            out.put_varint(identifier.map_or(0, |identifier| u64::from(identifier.get())));
        }
        Record::Unsubscribed { consumer, filter } => {
            put_head(out, kind::UNSUBSCRIBED, *consumer);
            out.put_bytes(filter.as_str().as_bytes());
        }
        other => unreachable!("{other:?} is not a session's record"),
    }
}

/// The body of a record of this kind.
pub(super) fn read_record(kind: u8, reader: &mut Reader<'_>) -> Result<Record> {
    match kind {
        kind::KEPT => return read_kept(reader),
        kind::RETAINED_SET => return Ok(Record::RetainedSet { message: read_message(reader)? }),
        kind::RETAINED_CLEARED => return Ok(Record::RetainedCleared { topic: read_topic(reader)? }),
        kind::BOOT_SYNCED => {
            let boot = BootId(reader.u64_le("boot")?);
            return Ok(Record::BootSynced { boot, unix_ms_at_zero: reader.signed("wall time")? });
        }
        _ => {}
    }
    let consumer = ConsumerId(reader.number("consumer")?);
    Ok(match kind {
        kind::DONE => Record::Done { consumer, sequence: read_sequence(reader)? },
        kind::DROPPED => {
            let sequence = read_sequence(reader)?;
            Record::Dropped { consumer, sequence, reason: read_reason(reader)? }
        }
        kind::ASSIGNED => Record::Assigned {
            consumer,
            packet_identifier: read_packet_identifier(reader)?,
            sequence: read_sequence(reader)?,
            qos: read_qos(reader)?,
            frozen_payload: if reader.flag("payload")? { Some(reader.bytes("payload")?) } else { None },
        },
        kind::RELEASED => Record::Released { consumer, packet_identifier: read_packet_identifier(reader)? },
        kind::WINDOW_FORGOTTEN => Record::WindowForgotten { consumer },
        kind::RECEIVED => Record::Received { consumer, packet_identifier: read_packet_identifier(reader)? },
        kind::RECEIVED_RELEASED => {
            Record::ReceivedReleased { consumer, packet_identifier: read_packet_identifier(reader)? }
        }
        kind::CONSUMER_CLOSED => Record::ConsumerClosed { consumer },
        kind::GROUP_OPENED => Record::GroupOpened { consumer, filter: read_filter(reader)? },
        kind::UPLINK_OPENED => Record::UplinkOpened { consumer, name: reader.text("uplink")? },
        _ => return read_session_record(kind, consumer, reader),
    })
}

fn read_session_record(kind: u8, consumer: ConsumerId, reader: &mut Reader<'_>) -> Result<Record> {
    Ok(match kind {
        kind::SESSION_OPENED => Record::SessionOpened {
            consumer,
            client_id: reader.text("client identifier")?,
            user: if reader.flag("user")? { Some(reader.text("user")?) } else { None },
            version: read_version(reader)?,
            expiry_interval_seconds: reader.number("session expiry")?,
            will: read_optional_will(reader)?,
        },
        kind::SESSION_DETACHED => Record::SessionDetached {
            consumer,
            at: read_moment(reader)?,
            expiry_interval_seconds: reader.number("session expiry")?,
            will: read_optional_will(reader)?,
        },
        kind::WILL_ENDED => Record::WillEnded { consumer },
        kind::SUBSCRIBED => Record::Subscribed {
            consumer,
            filter: read_filter(reader)?,
            options: read_options(reader)?,
            identifier: NonZeroU32::new(reader.number("subscription identifier")?),
        },
        kind::UNSUBSCRIBED => Record::Unsubscribed { consumer, filter: read_filter(reader)? },
        _ => return Err(Malformed("kind of record")),
    })
}

/// Layout: sequence · deliveries · message.
fn put_kept(out: &mut Vec<u8>, sequence: Sequence, message: &Message, deliveries: &[Delivery]) {
    out.put_varint(sequence.0);
    put_count(out, deliveries.len());
    for delivery in deliveries {
        put_delivery(out, delivery);
    }
    put_message(out, message);
}

fn read_kept(reader: &mut Reader<'_>) -> Result<Record> {
    let sequence = read_sequence(reader)?;
    let count = reader.varint("deliveries")?;
    let deliveries = (0..count).map(|_| read_delivery(reader)).collect::<Result<_>>()?;
    Ok(Record::Kept { sequence, message: read_message(reader)?, deliveries })
}

/// Consumer · QoS in the low two bits, retain, number of subscription identifiers · the identifiers.
fn put_delivery(out: &mut Vec<u8>, delivery: &Delivery) {
    out.put_varint(u64::from(delivery.consumer.0));
    let count = u64::try_from(delivery.subscription_identifiers.len()).unwrap_or(u64::MAX);
    let flags = u64::from(delivery.qos.as_u8()) | (u64::from(delivery.retain) << 2);
    out.put_varint((count << 3) | flags);
    for identifier in &delivery.subscription_identifiers {
        out.put_varint(u64::from(identifier.get()));
    }
}

pub(super) fn read_delivery(reader: &mut Reader<'_>) -> Result<Delivery> {
    let consumer = ConsumerId(reader.number("consumer")?);
    let flags = reader.varint("delivery")?;
    let qos = u8::try_from(flags & 3).ok().and_then(QoS::from_u8);
    Ok(Delivery {
        consumer,
        qos: qos.ok_or(Malformed("quality of service"))?,
        retain: flags & 4 != 0,
        subscription_identifiers: (0..flags >> 3).map(|_| read_identifier(reader)).collect::<Result<_>>()?,
    })
}

fn put_head(out: &mut Vec<u8>, kind: u8, consumer: ConsumerId) {
    out.put_u8(kind);
    out.put_varint(u64::from(consumer.0));
}

pub(super) fn read_sequence(reader: &mut Reader<'_>) -> Result<Sequence> {
    reader.varint("sequence").map(Sequence)
}

fn read_packet_identifier(reader: &mut Reader<'_>) -> Result<PacketIdentifier> {
    PacketIdentifier::new(reader.number("packet identifier")?).ok_or(Malformed("packet identifier"))
}

fn put_optional(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        out.put_bytes(value);
    }
}

fn put_optional_will(out: &mut Vec<u8>, will: Option<&Will>) {
    out.put_u8(u8::from(will.is_some()));
    if let Some(will) = will {
        put_will(out, will);
    }
}

fn read_optional_will(reader: &mut Reader<'_>) -> Result<Option<Box<Will>>> {
    if reader.flag("will")? { Ok(Some(Box::new(read_will(reader)?))) } else { Ok(None) }
}

/// A reason is kept as its place in [`DropReason::ALL`], which only ever grows at its end.
pub(super) fn put_reason(out: &mut Vec<u8>, reason: DropReason) {
    let place = DropReason::ALL.iter().position(|known| *known == reason);
    put_count(out, place.unwrap_or(usize::MAX));
}

pub(super) fn read_reason(reader: &mut Reader<'_>) -> Result<DropReason> {
    let place: usize = reader.number("reason")?;
    DropReason::ALL.get(place).copied().ok_or(Malformed("reason"))
}

fn version_number(version: ProtocolVersion) -> u8 {
    match version {
        ProtocolVersion::V3_1 => 3,
        ProtocolVersion::V3_1_1 => 4,
        ProtocolVersion::V5 => 5,
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<ProtocolVersion> {
    match reader.u8("version")? {
        3 => Ok(ProtocolVersion::V3_1),
        4 => Ok(ProtocolVersion::V3_1_1),
        5 => Ok(ProtocolVersion::V5),
        _ => Err(Malformed("version")),
    }
}

/// As SUBSCRIBE has them (section 3.8.3.1 of 5.0).
fn options_byte(options: &SubscriptionOptions) -> u8 {
    let retain_handling = match options.retain_handling {
        RetainHandling::Send => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    options.maximum_qos.as_u8()
        | (u8::from(options.no_local) << 2)
        | (u8::from(options.retain_as_published) << 3)
        | (retain_handling << 4)
}

fn read_options(reader: &mut Reader<'_>) -> Result<SubscriptionOptions> {
    let byte = reader.u8("subscription options")?;
    Ok(SubscriptionOptions {
        maximum_qos: QoS::from_u8(byte & 3).ok_or(Malformed("subscription options"))?,
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retain_handling: match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Malformed("subscription options")),
        },
    })
}
