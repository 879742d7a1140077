//! `[gatt]` and `[[characteristic]]`: what is read over a Bluetooth connection, checked.

use std::time::Duration;

use bytes::Bytes;
use toml::Spanned;

use super::compile::bytes;
use super::error::Mistakes;
use super::fields::measurement_name;
use super::{binary, schema};
use crate::device::ble::Uuid;
use crate::device::gatt::{Characteristic, Gatt, Rate};
use crate::reading::Unit;

/// Nobody is visited more often.
const SHORTEST_INTERVAL_MS: u64 = 1000;

pub(super) fn compile(document: &schema::Document, mistakes: &mut Mistakes<'_>) -> Option<Gatt> {
    let written = document.gatt.as_ref()?;
    let gatt = written.get_ref();
    let interval_ms = *gatt.interval_ms.get_ref();
    if interval_ms < SHORTEST_INTERVAL_MS {
        mistakes.add(gatt.interval_ms.span(), "a device is visited at most once a second", None);
    }
    let mut begin = Vec::new();
    for one in &gatt.begin {
        begin.push((uuid(&one.characteristic, mistakes)?, Bytes::from(bytes(&one.send, mistakes)?)));
    }
    let stream = match &gatt.stream {
        Some(written) => Some(uuid(written, mistakes)?),
        None => None,
    };
    let characteristics: Vec<Characteristic> =
        document.characteristic.iter().filter_map(|one| characteristic(one, mistakes)).collect();
    if characteristics.is_empty() && stream.is_none() {
        let hint = Some("[[characteristic]] with uuid and fields, or a stream".to_owned());
        mistakes.add(written.span(), "nothing is read over the connection", hint);
    }
    let interval = Duration::from_millis(interval_ms);
    Some(Gatt { interval, stay: gatt.stay, begin, stream, characteristics })
}

fn characteristic(
    written: &Spanned<schema::Characteristic>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Characteristic> {
    let one = written.get_ref();
    let uuid = uuid(&one.uuid, mistakes)?;
    if one.field.is_empty() && one.rate.is_empty() {
        mistakes.add(written.span(), "the characteristic has no fields", None);
        return None;
    }
    let meaning = binary::fields(&one.intermediate, &one.field, None, mistakes)?;
    let rates = one.rate.iter().map(|rate| self::rate(rate.get_ref(), mistakes)).collect::<Option<_>>()?;
    Some(Characteristic { uuid, listen: one.listen, once: one.once, meaning, rates })
}

fn rate(written: &schema::Rate, mistakes: &mut Mistakes<'_>) -> Option<Rate> {
    let name = match measurement_name(written.name.get_ref()) {
        Ok(name) => name,
        Err(message) => {
            mistakes.add(written.name.span(), message, None);
            return None;
        }
    };
    for bits in [&written.count_bits, &written.tick_bits] {
        if !(1..=32).contains(bits.get_ref()) {
            mistakes.add(bits.span(), "a counter has 1 to 32 bits", None);
        }
    }
    let scale = written.scale.as_ref().map_or(1.0, |scale| *scale.get_ref());
    let ticks_per_second = *written.ticks_per_second.get_ref();
    if !(ticks_per_second > 0.0 && ticks_per_second.is_finite() && scale.is_finite()) {
        mistakes.add(written.ticks_per_second.span(), "a clock ticks, and a scale is a number", None);
    }
    Some(Rate {
        name,
        unit: written.unit.as_deref().map(|unit| Unit(unit.into())),
        count: binary::expression(&written.count, &[], mistakes)?,
        count_bits: *written.count_bits.get_ref(),
        ticks: binary::expression(&written.ticks, &[], mistakes)?,
        tick_bits: *written.tick_bits.get_ref(),
        ticks_per_second,
        scale,
        decimals: written.decimals.unwrap_or(1),
    })
}

/// `2a6e`, or all of it.
pub(super) fn uuid(written: &Spanned<String>, mistakes: &mut Mistakes<'_>) -> Option<Uuid> {
    let uuid = Uuid::parse(written.get_ref());
    if uuid.is_none() {
        let hint = Some("\"2a6e\", or all 32 digits".to_owned());
        mistakes.add(written.span(), format!("{:?} is no UUID", written.get_ref()), hint);
    }
    uuid
}
