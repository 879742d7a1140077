//! Every record comes back as it was written, and nothing that was not written is believed.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::durable::{ConsumerId, Delivery, DropReason, Message, MessageBody, Record, Sequence};
use crate::mqtt::{
    PacketIdentifier, ProtocolVersion, PublishProperties, QoS, RetainHandling, SubscriptionOptions,
    TopicFilter, TopicName, Will,
};
use crate::reading::{Measurement, MeasurementName, Reading, SensorName, Unit, Value};
use crate::time::{BootId, Instant, Moment, TimeQuality};

fn text() -> impl Strategy<Value = ByteString> {
    "[a-zA-Z0-9 µ°/]{0,40}".prop_map(ByteString::from)
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..400).prop_map(Bytes::from)
}

fn topic() -> impl Strategy<Value = TopicName> {
    "[a-z0-9µ/]{1,60}".prop_map(|text| TopicName::parse(text).unwrap())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let plain = "[a-z]{1,9}(/[a-z+]){0,3}(/#)?".prop_map(|text| TopicFilter::parse(text).unwrap());
    plain.boxed().prop_union(Just(TopicFilter::parse("$share/g/a/+").unwrap()).boxed())
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn consumer() -> impl Strategy<Value = ConsumerId> {
    any::<u32>().prop_map(ConsumerId)
}

fn sequence() -> impl Strategy<Value = Sequence> {
    any::<u64>().prop_map(Sequence)
}

fn packet_identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1..=u16::MAX).prop_map(|number| PacketIdentifier::new(number).unwrap())
}

fn identifier() -> impl Strategy<Value = std::num::NonZeroU32> {
    (1u32..=268_435_455).prop_map(|number| number.try_into().unwrap())
}

fn moment() -> impl Strategy<Value = Moment> {
    (any::<u64>(), any::<u64>(), any::<i64>(), any::<bool>()).prop_map(|(boot, nanos, unix_ms, synced)| {
        Moment {
            boot: BootId(boot % 3),
            monotonic: Instant::from_nanos(nanos),
            unix_ms,
            quality: if synced { TimeQuality::Synced } else { TimeQuality::Unsynced },
        }
    })
}

fn properties() -> impl Strategy<Value = PublishProperties> {
    let parts = (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(topic()),
        option::of(payload()),
        vec((text(), text()), 0..4),
        vec(identifier(), 0..3),
        option::of(text()),
    );
    parts.prop_map(
        |(indicator, expiry, response_topic, correlation_data, user, identifiers, content_type)| {
            PublishProperties {
                payload_format_indicator: indicator,
                message_expiry_interval_seconds: expiry,
                response_topic,
                correlation_data,
                user_properties: user,
                subscription_identifiers: identifiers,
                content_type,
            }
        },
    )
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter("equal to itself", |number| !number.is_nan()).prop_map(Value::Number),
        (-9_999_999i32..9_999_999, 0..5)
            .prop_map(|(digits, scale)| { Value::Number(f64::from(digits) / 10f64.powi(scale)) }),
        Just(Value::Number(-0.0)),
        any::<bool>().prop_map(Value::Switch),
        text().prop_map(|text| Value::Text(Arc::from(&*text))),
        (text(), any::<i32>()).prop_map(|(event, steps)| Value::Turn { event: Arc::from(&*event), steps }),
    ]
}

fn measurement() -> impl Strategy<Value = Measurement> {
    (0..100u8, value(), option::of("[a-zµ°%/²]{1,6}")).prop_map(|(name, value, unit)| Measurement {
        name: MeasurementName::parse(&format!("quantity_{name}")).unwrap(),
        value,
        unit: unit.map(|unit| Unit(Arc::from(unit.as_str()))),
    })
}

fn reading() -> impl Strategy<Value = Reading> {
    (moment(), option::of(any::<i16>()), vec(measurement(), 0..6)).prop_map(
        |(taken_at, rssi, measurements)| {
            let sensor = SensorName::parse("kitchen-2").unwrap();
            Reading { sensor, taken_at, rssi, measurements: measurements.into() }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let publish = (payload(), option::of(properties().prop_map(Box::new)))
        .prop_map(|(payload, properties)| MessageBody::Publish { payload, properties });
    let reading = reading().prop_map(|reading| MessageBody::Reading(Box::new(reading)));
    (topic(), qos(), any::<bool>(), moment(), prop_oneof![publish, reading])
        .prop_map(|(topic, qos, retain, accepted_at, body)| Message { topic, qos, retain, accepted_at, body })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (consumer(), qos(), any::<bool>(), vec(identifier(), 0..3)).prop_map(
        |(consumer, qos, retain, identifiers)| Delivery {
            consumer,
            qos,
            retain,
            subscription_identifiers: identifiers.into(),
        },
    )
}

fn will() -> impl Strategy<Value = Option<Box<Will>>> {
    let will = (topic(), payload(), qos(), any::<bool>(), any::<u32>(), properties());
    option::of(will.prop_map(|(topic, payload, qos, retain, delay_interval_seconds, properties)| {
        Box::new(Will { topic, payload, qos, retain, delay_interval_seconds, properties })
    }))
}

fn subscription_options() -> impl Strategy<Value = SubscriptionOptions> {
    let handling = prop_oneof![
        Just(RetainHandling::Send),
        Just(RetainHandling::SendIfNew),
        Just(RetainHandling::DoNotSend)
    ];
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(maximum_qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            maximum_qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    )
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(ProtocolVersion::V3_1), Just(ProtocolVersion::V3_1_1), Just(ProtocolVersion::V5)]
}

fn kept() -> impl Strategy<Value = Record> {
    let parts = (sequence(), message(), vec(delivery(), 0..4));
    parts.prop_map(|(sequence, message, deliveries)| Record::Kept {
        sequence,
        message,
        deliveries: deliveries.into(),
    })
}

fn queue_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (consumer(), sequence()).prop_map(|(consumer, sequence)| Record::Done { consumer, sequence }),
        (consumer(), sequence(), 0..DropReason::ALL.len()).prop_map(|(consumer, sequence, reason)| {
            Record::Dropped { consumer, sequence, reason: DropReason::ALL[reason] }
        }),
        (consumer(), packet_identifier(), sequence(), qos(), option::of(payload())).prop_map(
            |(consumer, packet_identifier, sequence, qos, frozen_payload)| Record::Assigned {
                consumer,
                packet_identifier,
                sequence,
                qos,
                frozen_payload
            }
        ),
        (consumer(), packet_identifier())
            .prop_map(|(consumer, packet_identifier)| Record::Released { consumer, packet_identifier }),
        consumer().prop_map(|consumer| Record::WindowForgotten { consumer }),
        (consumer(), packet_identifier())
            .prop_map(|(consumer, packet_identifier)| Record::Received { consumer, packet_identifier }),
        (consumer(), packet_identifier()).prop_map(|(consumer, packet_identifier)| {
            Record::ReceivedReleased { consumer, packet_identifier }
        }),
        consumer().prop_map(|consumer| Record::ConsumerClosed { consumer }),
    ]
}

fn state_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (consumer(), text(), option::of(text()), version(), any::<u32>(), will()).prop_map(
            |(consumer, client_id, user, version, expiry_interval_seconds, will)| Record::SessionOpened {
                consumer,
                client_id,
                user,
                version,
                expiry_interval_seconds,
                will
            }
        ),
        (consumer(), moment(), any::<u32>(), will()).prop_map(
            |(consumer, at, expiry_interval_seconds, will)| Record::SessionDetached {
                consumer,
                at,
                expiry_interval_seconds,
                will
            }
        ),
        consumer().prop_map(|consumer| Record::WillEnded { consumer }),
        (consumer(), filter(), subscription_options(), option::of(identifier())).prop_map(
            |(consumer, filter, options, identifier)| Record::Subscribed {
                consumer,
                filter,
                options,
                identifier
            }
        ),
        (consumer(), filter()).prop_map(|(consumer, filter)| Record::Unsubscribed { consumer, filter }),
        message().prop_map(|message| Record::RetainedSet { message }),
        topic().prop_map(|topic| Record::RetainedCleared { topic }),
        (consumer(), text()).prop_map(|(consumer, name)| Record::UplinkOpened { consumer, name }),
        (consumer(), filter()).prop_map(|(consumer, filter)| Record::GroupOpened { consumer, filter }),
        (any::<u64>(), any::<i64>())
            .prop_map(|(boot, unix_ms_at_zero)| Record::BootSynced { boot: BootId(boot), unix_ms_at_zero }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![kept(), queue_record(), state_record()]
}

fn chunk_note() -> impl Strategy<Value = ChunkNote> {
    let owed = (any::<u32>(), any::<u64>(), 0..50u64, 0..50u64);
    let numbers = (any::<u32>(), any::<u32>(), 99..999u64, any::<u64>(), any::<u64>());
    (numbers, moment(), vec(owed, 0..5)).prop_map(|(numbers, oldest, owed)| {
        let (segment, first, length, messages, bytes) = numbers;
        let (first, last) = (u64::from(first), u64::from(first) + length);
        let owed = owed.into_iter().map(|(consumer, messages, from_first, to_last)| OwedNote {
            consumer,
            messages,
            first: Sequence(first + from_first),
            last: Sequence(last - to_last),
        });
        ChunkNote {
            segment: u64::from(segment),
            first: Sequence(first),
            last: Sequence(last),
            messages,
            bytes,
            oldest,
            owed: owed.collect(),
        }
    })
}

fn note() -> impl Strategy<Value = Entry> {
    prop_oneof![
        (sequence(), any::<u32>())
            .prop_map(|(last_sequence, last_consumer)| Entry::Checkpoint { last_sequence, last_consumer }),
        (any::<[u32; 7]>(), option::of(any::<u64>())).prop_map(|(numbers, listed)| {
            let [ordinal, end, first_commit, commits, base_sequence, sequences, damaged_commits] =
                numbers.map(u64::from);
            Entry::Segment(SegmentNote {
                ordinal,
                end,
                first_commit,
                next_commit: first_commit + commits,
                base_sequence,
                last_sequence: base_sequence + sequences,
                damaged_commits,
                listed,
            })
        }),
        chunk_note().prop_map(Entry::Chunk),
        (any::<u32>(), any::<u32>(), vec((1u32..99, 0u32..99), 0..9)).prop_map(|(consumer, low, steps)| {
            let low = u64::from(low);
            let mut at = low;
            let ranges = steps.into_iter().map(|(gap, length)| {
                let first = at + u64::from(gap) + 1;
                at = first + u64::from(length);
                (first, at)
            });
            Entry::Cursor(Cursor { consumer, low, done: ranges.collect() })
        }),
        Just(Entry::CheckpointEnd),
        (consumer(), sequence(), sequence(), any::<u64>()).prop_map(|(consumer, first, last, count)| {
            Entry::DroppedRange { consumer, first, last, count, reason: DropReason::JournalFull }
        }),
        any::<u64>().prop_map(|ordinal| Entry::Retired { ordinal }),
    ]
}

/// A record as recovery reads it: of a kept message only the head.
fn as_entry(record: &Record) -> Entry {
    match record {
        Record::Kept { sequence, message, deliveries } => Entry::Kept(KeptHead {
            sequence: *sequence,
            consumers: deliveries.iter().map(|delivery| delivery.consumer).collect(),
            accepted_at: message.accepted_at,
        }),
        other => Entry::Record(other.clone()),
    }
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_written(records in vec(record(), 1..8)) {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        for record in &records {
            offsets.push(bytes.len());
            put_record_entry(&mut bytes, record);
        }
        let mut reader = Reader::new(&bytes);
        for (record, offset) in records.iter().zip(offsets) {
            prop_assert_eq!(read_entry(&mut reader).unwrap(), as_entry(record));
            if matches!(record, Record::Kept { .. }) {
                let body = kept_body(&bytes[offset..]).unwrap();
                prop_assert_eq!(&read_kept(body).unwrap(), record);
            }
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn notes_come_back_as_they_were_written(note in note()) {
        let mut bytes = Vec::new();
        put_note(&mut bytes, &note);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(read_entry(&mut reader).unwrap(), note);
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn a_copy_is_the_same_message(record in kept()) {
        let mut bytes = Vec::new();
        put_record_entry(&mut bytes, &record);
        let mut copy = Vec::new();
        put_moved(&mut copy, kept_body(&bytes).unwrap());
        prop_assert_eq!(read_kept(kept_body(&copy).unwrap()).unwrap(), record);
    }

    #[test]
    fn a_damaged_message_is_not_believed(record in kept(), at in any::<usize>(), mask in 1..=255u8) {
        let mut bytes = Vec::new();
        put_record_entry(&mut bytes, &record);
        let at = at % bytes.len();
        bytes[at] ^= mask;
        // The length and the kind are proved by the commit's checksum only.
        if let Ok(body) = kept_body(&bytes) {
            prop_assert_eq!(read_kept(body).unwrap(), record);
        }
    }

    #[test]
    fn arbitrary_bytes_make_no_panic(bytes in vec(any::<u8>(), 0..300), kind in 0..40u8) {
        let _ = read_entry(&mut Reader::new(&bytes));
        let _ = kept_body(&bytes).map(read_kept);
        let mut framed = Vec::new();
        framed.put_varint(u64::try_from(bytes.len()).unwrap() + 1);
        framed.put_u8(kind);
        framed.extend_from_slice(&bytes);
        let _ = read_entry(&mut Reader::new(&framed));
    }
}

/// The place of a reason is on disk: reasons are only ever added at the end.
#[test]
fn drop_reasons_keep_their_places() {
    let labels = DropReason::ALL.map(DropReason::label);
    let known = [
        "queue_full",
        "journal_full",
        "journal_full_newest",
        "journal_dead",
        "too_old",
        "expired",
        "session_ended",
        "slow_subscriber",
        "packet_too_large",
        "refused",
        "damaged",
        "inbox_full",
        "link_down",
    ];
    assert_eq!(labels[..known.len()], known);
}

/// What a reading of a particle sensor costs on disk.
#[test]
fn a_reading_is_small() {
    let at = Moment {
        boot: BootId(0x1234_5678_9abc_def0),
        monotonic: Instant::from_millis(86_400_000),
        unix_ms: 1_790_000_000_000,
        quality: TimeQuality::Synced,
    };
    let measurement = |name: &str, number| Measurement {
        name: MeasurementName::parse(name).unwrap(),
        value: Value::Number(number),
        unit: Some(Unit(Arc::from("μg/m³"))),
    };
    let reading = Reading {
        sensor: SensorName::parse("air").unwrap(),
        taken_at: at,
        rssi: None,
        measurements: [measurement("pm25", 12.3), measurement("pm10", 20.5)].into_iter().collect(),
    };
    let message = Message {
        topic: TopicName::parse("tidegate/greenhouse/air/state").unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at: at,
        body: MessageBody::Reading(Box::new(reading)),
    };
    let delivery = Delivery {
        consumer: ConsumerId(1),
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Default::default(),
    };
    let kept =
        Record::Kept { sequence: Sequence(1_000_000), message, deliveries: [delivery].into_iter().collect() };
    let done = Record::Done { consumer: ConsumerId(1), sequence: Sequence(1_000_000) };
    let mut bytes = Vec::new();
    put_record_entry(&mut bytes, &kept);
    assert!(bytes.len() <= 115, "{} bytes", bytes.len());
    bytes.clear();
    put_record_entry(&mut bytes, &done);
    assert_eq!(bytes.len(), 6);
}
