//! A name for each message that stays the same however often it is sent, so that whoever receives it can tell a
//! repetition; and by which the gateway knows its own messages when they come back down.
//!
//! `GATEWAY-SEQUENCE-TIME`: the sequence is the journal's and never changes; the time of acceptance (hexadecimal
//! milliseconds since 1970, as the clock said then) tells apart two journals of one gateway.

use std::fmt::Write as _;

use bytes::Bytes;
use bytestring::ByteString;

use crate::durable::LoadedDelivery;
use crate::mqtt::PublishProperties;

/// The user property of 5.0 that carries it.
pub const MESSAGE_ID_PROPERTY: ByteString = ByteString::from_static("tidegate-id");
/// The field of a JSON object that carries it.
pub const MESSAGE_ID_FIELD: &str = "message_id";

/// Where a message carries its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageId {
    /// Nowhere.
    Off,
    /// As a user property, in 5.0; nowhere in 3.1.1.
    #[default]
    Property,
    /// As a field of the payload, if that is a JSON object; and as a user property in 5.0.
    Field,
}

/// The name of a message.
pub(super) fn name_of(gateway: &str, loaded: &LoadedDelivery) -> ByteString {
    let (sequence, time) = (loaded.sequence.0, loaded.message.accepted_at.unix_ms.cast_unsigned());
    // Just as long as it gets: what is longer would be put into a second place when it is shared.
    let mut name = String::with_capacity(gateway.len() + 2 + digits(sequence, 10) + digits(time, 16));
    // Writing to a String cannot fail.
    let _ = write!(name, "{gateway}-{sequence}-{time:x}");
    ByteString::from(name)
}

fn digits(number: u64, base: u64) -> usize {
    number.checked_ilog(base).map_or(1, |log| usize::try_from(log).unwrap_or(64) + 1)
}

/// The properties with the name of a message. One that has a name, given by another gateway, keeps it.
pub(super) fn with_name(
    properties: Option<Box<PublishProperties>>,
    name: impl FnOnce() -> ByteString,
) -> Option<Box<PublishProperties>> {
    let mut properties = properties.unwrap_or_default();
    if named(&properties).is_none() {
        properties.user_properties.reserve_exact(1);
        properties.user_properties.push((MESSAGE_ID_PROPERTY, name()));
    }
    Some(properties)
}

/// Whether a message that came down is one that this gateway had sent up.
pub(super) fn is_own(gateway: &str, properties: Option<&PublishProperties>) -> bool {
    let rest = properties.and_then(named).and_then(|name| name.strip_prefix(gateway)?.strip_prefix('-'));
    let mut parts = rest.into_iter().flat_map(|rest| rest.split('-'));
    let is_number =
        |part: Option<&str>, radix| part.is_some_and(|part| u64::from_str_radix(part, radix).is_ok());
    is_number(parts.next(), 10) && is_number(parts.next(), 16) && parts.next().is_none()
}

fn named(properties: &PublishProperties) -> Option<&ByteString> {
    let mut all = properties.user_properties.iter();
    all.find_map(|(key, value)| (*key == MESSAGE_ID_PROPERTY).then_some(value))
}

/// A JSON object with one field more; anything else as it is.
pub(super) fn with_field(payload: Bytes, name: &str) -> Bytes {
    let trimmed = payload.trim_ascii();
    let inside = trimmed.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    let Some(inside) = inside else { return payload };
    let comma = if inside.trim_ascii().is_empty() { "" } else { "," };
    let field = format!("{comma}\"{MESSAGE_ID_FIELD}\":\"{name}\"}}");
    let mut with = Vec::with_capacity(payload.len() + field.len());
    with.push(b'{');
    with.extend_from_slice(inside);
    with.extend_from_slice(field.as_bytes());
    Bytes::from(with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_put_into_objects_only() {
        let with = |text: &'static str| with_field(Bytes::from_static(text.as_bytes()), "gw-1-a");
        assert_eq!(with("{}"), r#"{"message_id":"gw-1-a"}"#);
        assert_eq!(with(" {\"a\":1}\n"), r#"{"a":1,"message_id":"gw-1-a"}"#);
        for other in ["21.5", "[1]", "", "{", "online"] {
            assert_eq!(with(other), other);
        }
    }

    #[test]
    fn digits_are_counted() {
        for number in [0, 1, 9, 10, 15, 16, 99, 100, u64::MAX] {
            assert_eq!(digits(number, 10), number.to_string().len());
            assert_eq!(digits(number, 16), format!("{number:x}").len());
        }
    }

    #[test]
    fn only_names_of_this_gateway_are_its_own() {
        let own = |name: &'static str| {
            let user_properties = vec![(MESSAGE_ID_PROPERTY, ByteString::from_static(name))];
            let properties = PublishProperties { user_properties, ..PublishProperties::default() };
            is_own("gw", Some(&properties))
        };
        assert!(own("gw-12-19ab"));
        for other in ["gw2-12-19ab", "gw-x-1", "gw-12", "gw-12-1-1", "gw-roof-12-19ab", ""] {
            assert!(!own(other), "{other}");
        }
        assert!(!is_own("gw", None));
    }
}
