//! Messages: publishes with their properties, readings, moments, wills.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::wire::{Malformed, Put, Reader};
use crate::durable::{Message, MessageBody};
use crate::mqtt::{PublishProperties, QoS, TopicFilter, TopicName, Will};
use crate::reading::{Measurement, MeasurementName, Reading, SensorName, Unit, Value};
use crate::time::{BootId, Instant, Moment, TimeQuality};

type Result<T> = std::result::Result<T, Malformed>;

const RETAIN: u8 = 1 << 2;
const IS_READING: u8 = 1 << 3;
const HAS_PROPERTIES: u8 = 1 << 4;

/// Layout: accepted at · flags (QoS in the low two bits) · topic · body.
pub(super) fn put_message(out: &mut Vec<u8>, message: &Message) {
    put_moment(out, &message.accepted_at);
    let mut flags = message.qos.as_u8() | if message.retain { RETAIN } else { 0 };
    match &message.body {
        MessageBody::Publish { properties: None, .. } => {}
        MessageBody::Publish { properties: Some(_), .. } => flags |= HAS_PROPERTIES,
        MessageBody::Reading(_) => flags |= IS_READING,
    }
    out.put_u8(flags);
    out.put_bytes(message.topic.as_str().as_bytes());
    match &message.body {
        MessageBody::Publish { payload, properties } => {
            if let Some(properties) = properties {
                put_properties(out, properties);
            }
            out.put_bytes(payload);
        }
        MessageBody::Reading(reading) => put_reading(out, reading, &message.accepted_at),
    }
}

pub(super) fn read_message(reader: &mut Reader<'_>) -> Result<Message> {
    let accepted_at = read_moment(reader)?;
    let flags = reader.u8("message flags")?;
    let qos = QoS::from_u8(flags & 3).ok_or(Malformed("quality of service"))?;
    let topic = read_topic(reader)?;
    let body = if flags & IS_READING != 0 {
        MessageBody::Reading(Box::new(read_reading(reader, &accepted_at)?))
    } else {
        let properties =
            if flags & HAS_PROPERTIES != 0 { Some(Box::new(read_properties(reader)?)) } else { None };
        MessageBody::Publish { payload: reader.bytes("payload")?, properties }
    };
    Ok(Message { topic, qos, retain: flags & RETAIN != 0, accepted_at, body })
}

pub(super) fn read_topic(reader: &mut Reader<'_>) -> Result<TopicName> {
    TopicName::parse(reader.text("topic")?).map_err(|_| Malformed("topic"))
}

pub(super) fn read_filter(reader: &mut Reader<'_>) -> Result<TopicFilter> {
    TopicFilter::parse(reader.text("filter")?).map_err(|_| Malformed("filter"))
}

pub(super) fn read_qos(reader: &mut Reader<'_>) -> Result<QoS> {
    QoS::from_u8(reader.u8("quality of service")?).ok_or(Malformed("quality of service"))
}

pub(super) fn put_moment(out: &mut Vec<u8>, moment: &Moment) {
    out.put_u8(u8::from(moment.quality == TimeQuality::Synced));
    out.put_u64_le(moment.boot.0);
    out.put_varint(moment.monotonic.as_nanos());
    out.put_signed(moment.unix_ms);
}

pub(super) fn read_moment(reader: &mut Reader<'_>) -> Result<Moment> {
    Ok(Moment {
        quality: quality(reader.flag("time quality")?),
        boot: BootId(reader.u64_le("boot")?),
        monotonic: Instant::from_nanos(reader.varint("monotonic time")?),
        unix_ms: reader.signed("wall time")?,
    })
}

fn quality(synced: bool) -> TimeQuality {
    if synced { TimeQuality::Synced } else { TimeQuality::Unsynced }
}

/// One bit for each property that is there, in the order of the struct; then the properties.
fn put_properties(out: &mut Vec<u8>, properties: &PublishProperties) {
    let there = [
        properties.payload_format_indicator.is_some(),
        properties.message_expiry_interval_seconds.is_some(),
        properties.response_topic.is_some(),
        properties.correlation_data.is_some(),
        !properties.user_properties.is_empty(),
        !properties.subscription_identifiers.is_empty(),
        properties.content_type.is_some(),
    ];
    out.put_u8(there.iter().rev().fold(0, |mask, there| (mask << 1) | u8::from(*there)));
    if let Some(indicator) = properties.payload_format_indicator {
        out.put_u8(u8::from(indicator));
    }
    if let Some(seconds) = properties.message_expiry_interval_seconds {
        out.put_varint(u64::from(seconds));
    }
    if let Some(topic) = &properties.response_topic {
        out.put_bytes(topic.as_str().as_bytes());
    }
    if let Some(data) = &properties.correlation_data {
        out.put_bytes(data);
    }
    if !properties.user_properties.is_empty() {
        put_count(out, properties.user_properties.len());
        for (name, value) in &properties.user_properties {
            out.put_bytes(name.as_bytes());
            out.put_bytes(value.as_bytes());
        }
    }
    if !properties.subscription_identifiers.is_empty() {
        put_count(out, properties.subscription_identifiers.len());
        for identifier in &properties.subscription_identifiers {
            out.put_varint(u64::from(identifier.get()));
        }
    }
    if let Some(content_type) = &properties.content_type {
        out.put_bytes(content_type.as_bytes());
    }
}

fn read_properties(reader: &mut Reader<'_>) -> Result<PublishProperties> {
    let mask = reader.u8("properties")?;
    if mask & 0x80 != 0 {
        return Err(Malformed("properties"));
    }
    let there = |bit: u32| mask & (1 << bit) != 0;
    let mut properties = PublishProperties::default();
    if there(0) {
        properties.payload_format_indicator = Some(reader.flag("payload format indicator")?);
    }
    if there(1) {
        properties.message_expiry_interval_seconds = Some(reader.number("message expiry interval")?);
    }
    if there(2) {
        properties.response_topic = Some(read_topic(reader)?);
    }
    if there(3) {
        properties.correlation_data = Some(reader.bytes("correlation data")?);
    }
    if there(4) {
        for _ in 0..reader.varint("user properties")? {
            let pair = (reader.text("user property")?, reader.text("user property")?);
            properties.user_properties.push(pair);
        }
    }
    if there(5) {
        for _ in 0..reader.varint("subscription identifiers")? {
            properties.subscription_identifiers.push(read_identifier(reader)?);
        }
    }
    if there(6) {
        properties.content_type = Some(reader.text("content type")?);
    }
    Ok(properties)
}

pub(super) fn read_identifier(reader: &mut Reader<'_>) -> Result<NonZeroU32> {
    NonZeroU32::new(reader.number("subscription identifier")?).ok_or(Malformed("subscription identifier"))
}

pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_varint(u64::try_from(count).unwrap_or(u64::MAX));
}

pub(super) fn put_will(out: &mut Vec<u8>, will: &Will) {
    out.put_bytes(will.topic.as_str().as_bytes());
    out.put_bytes(&will.payload);
    out.put_u8(will.qos.as_u8() | if will.retain { RETAIN } else { 0 });
    out.put_varint(u64::from(will.delay_interval_seconds));
    put_properties(out, &will.properties);
}

pub(super) fn read_will(reader: &mut Reader<'_>) -> Result<Will> {
    let topic = read_topic(reader)?;
    let payload = reader.bytes("payload")?;
    let flags = reader.u8("will flags")?;
    Ok(Will {
        topic,
        payload,
        qos: QoS::from_u8(flags & 3).ok_or(Malformed("quality of service"))?,
        retain: flags & RETAIN != 0,
        delay_interval_seconds: reader.number("will delay")?,
        properties: read_properties(reader)?,
    })
}

const HAS_RSSI: u8 = 1 << 0;
const SAME_BOOT: u8 = 1 << 1;
const SYNCED: u8 = 1 << 2;

/// Layout: flags · sensor · taken at (as a difference to `accepted_at` within one boot) · RSSI · measurements.
fn put_reading(out: &mut Vec<u8>, reading: &Reading, accepted_at: &Moment) {
    let taken_at = &reading.taken_at;
    let same_boot = taken_at.boot == accepted_at.boot;
    out.put_u8(
        u8::from(reading.rssi.is_some()) * HAS_RSSI
            + u8::from(same_boot) * SAME_BOOT
            + u8::from(taken_at.quality == TimeQuality::Synced) * SYNCED,
    );
    out.put_bytes(reading.sensor.as_str().as_bytes());
    if same_boot {
        let before = accepted_at.monotonic.as_nanos().wrapping_sub(taken_at.monotonic.as_nanos());
        out.put_signed(before.cast_signed());
        out.put_signed(accepted_at.unix_ms.wrapping_sub(taken_at.unix_ms));
    } else {
        out.put_u64_le(taken_at.boot.0);
        out.put_varint(taken_at.monotonic.as_nanos());
        out.put_signed(taken_at.unix_ms);
    }
    if let Some(rssi) = reading.rssi {
        out.put_signed(i64::from(rssi));
    }
    put_count(out, reading.measurements.len());
    for measurement in &reading.measurements {
        put_measurement(out, measurement);
    }
}

fn read_reading(reader: &mut Reader<'_>, accepted_at: &Moment) -> Result<Reading> {
    let flags = reader.u8("reading flags")?;
    let sensor = SensorName::parse(reader.str("sensor")?).ok_or(Malformed("sensor"))?;
    let (boot, monotonic, unix_ms) = if flags & SAME_BOOT != 0 {
        let before = reader.signed("monotonic time")?.cast_unsigned();
        let monotonic = accepted_at.monotonic.as_nanos().wrapping_sub(before);
        (accepted_at.boot, monotonic, accepted_at.unix_ms.wrapping_sub(reader.signed("wall time")?))
    } else {
        (BootId(reader.u64_le("boot")?), reader.varint("monotonic time")?, reader.signed("wall time")?)
    };
    let quality = quality(flags & SYNCED != 0);
    let rssi = if flags & HAS_RSSI != 0 {
        Some(i16::try_from(reader.signed("signal strength")?).map_err(|_| Malformed("signal strength"))?)
    } else {
        None
    };
    let count = reader.varint("measurements")?;
    let measurements = (0..count).map(|_| read_measurement(reader)).collect::<Result<_>>()?;
    let taken_at = Moment { boot, monotonic: Instant::from_nanos(monotonic), unix_ms, quality };
    Ok(Reading { sensor, taken_at, rssi, measurements })
}

/// What follows the name: 0 to 3 are numbers with that many decimals, as sensors say them.
const NUMBER: u8 = 4;
const SWITCH_OFF: u8 = 5;
const SWITCH_ON: u8 = 6;
const TEXT: u8 = 7;
const HAS_UNIT: u8 = 1 << 3;
const TURN: u8 = 1 << 4;
const SCALES: [(u8, f64); 4] = [(0, 1.0), (1, 10.0), (2, 100.0), (3, 1000.0)];

fn put_measurement(out: &mut Vec<u8>, measurement: &Measurement) {
    out.put_bytes(measurement.name.as_str().as_bytes());
    let unit = if measurement.unit.is_some() { HAS_UNIT } else { 0 };
    match &measurement.value {
        Value::Number(number) => match decimal(*number) {
            Some((decimals, digits)) => {
                out.put_u8(decimals | unit);
                out.put_signed(i64::from(digits));
            }
            None => {
                out.put_u8(NUMBER | unit);
                out.put_u64_le(number.to_bits());
            }
        },
        Value::Switch(on) => out.put_u8(unit | if *on { SWITCH_ON } else { SWITCH_OFF }),
        Value::Text(text) => {
            out.put_u8(TEXT | unit);
            out.put_bytes(text.as_bytes());
        }
        Value::Turn { event, steps } => {
            out.put_u8(TURN | unit);
            out.put_bytes(event.as_bytes());
            out.put_signed(i64::from(*steps));
        }
    }
    if let Some(unit) = &measurement.unit {
        out.put_bytes(unit.0.as_bytes());
    }
}

/// The number as a whole number of tenths, hundredths or thousandths, when that gives the very same bits back.
fn decimal(number: f64) -> Option<(u8, i32)> {
    SCALES.into_iter().find_map(|(decimals, scale)| {
        #[expect(clippy::as_conversions, reason = "saturates, and the check below sees when it did")]
        let digits = (number * scale).round() as i32;
        ((f64::from(digits) / scale).to_bits() == number.to_bits()).then_some((decimals, digits))
    })
}

fn read_measurement(reader: &mut Reader<'_>) -> Result<Measurement> {
    let name = MeasurementName::parse(reader.str("measurement")?).ok_or(Malformed("measurement"))?;
    let tag = reader.u8("value")?;
    let value = match tag & !HAS_UNIT {
        NUMBER => Value::Number(f64::from_bits(reader.u64_le("value")?)),
        SWITCH_OFF => Value::Switch(false),
        SWITCH_ON => Value::Switch(true),
        TEXT => Value::Text(Arc::from(reader.str("value")?)),
        TURN => {
            let event = Arc::from(reader.str("value")?);
            let steps = i32::try_from(reader.signed("value")?).map_err(|_| Malformed("value"))?;
            Value::Turn { event, steps }
        }
        decimals => {
            let scale = SCALES.iter().find(|(known, _)| *known == decimals).ok_or(Malformed("value"))?.1;
            let digits = i32::try_from(reader.signed("value")?).map_err(|_| Malformed("value"))?;
            Value::Number(f64::from(digits) / scale)
        }
    };
    let unit = if tag & HAS_UNIT != 0 { Some(Unit(Arc::from(reader.str("unit")?))) } else { None };
    Ok(Measurement { name, value, unit })
}
