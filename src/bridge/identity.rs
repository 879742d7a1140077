//! A name for each message that stays the same however often it is sent, so that whoever receives it can tell a
//! repetition; and by which the gateway knows its own messages when they come back down.
//!
//! `GATEWAY-SEQUENCE-TIME`: the sequence is the journal's and never changes; the time of acceptance (hexadecimal
//! milliseconds since 1970, as the clock said then) tells apart two journals of one gateway.

use bytes::Bytes;
use bytestring::ByteString;

use crate::durable::LoadedDelivery;
use crate::mqtt::PublishProperties;

pub(super) const MESSAGE_ID: &str = "tidegate-id";
/// The user property of 5.0 that carries it.
pub const MESSAGE_ID_PROPERTY: ByteString = ByteString::from_static(MESSAGE_ID);
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
pub(super) fn name_of(gateway: &str, loaded: &LoadedDelivery) -> String {
    let mut name = String::new();
    write_name(gateway, loaded, &mut name);
    name
}

/// Puts the name of a message into `name`, instead of what was there.
pub(super) fn write_name(gateway: &str, loaded: &LoadedDelivery, name: &mut String) {
    name.clear();
    name.push_str(gateway);
    name.push('-');
    push_number::<10>(name, loaded.sequence.0);
    name.push('-');
    push_number::<16>(name, loaded.message.accepted_at.unix_ms.cast_unsigned());
}

/// A number in digits: with every message, so without the machinery of `fmt`.
fn push_number<const BASE: u64>(text: &mut String, number: u64) {
    if number >= BASE {
        push_number::<BASE>(text, number / BASE);
    }
    if let Some(digit) = u32::try_from(number % BASE).ok().and_then(|digit| char::from_digit(digit, 36)) {
        text.push(digit);
    }
}

/// Whether a message that came down is one that this gateway had sent up.
pub(super) fn is_own(gateway: &str, properties: Option<&PublishProperties>) -> bool {
    let rest = properties.and_then(named).and_then(|name| name.strip_prefix(gateway)?.strip_prefix('-'));
    let mut parts = rest.into_iter().flat_map(|rest| rest.split('-'));
    let is_number =
        |part: Option<&str>, radix| part.is_some_and(|part| u64::from_str_radix(part, radix).is_ok());
    is_number(parts.next(), 10) && is_number(parts.next(), 16) && parts.next().is_none()
}

pub(super) fn named(properties: &PublishProperties) -> Option<&ByteString> {
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
    fn numbers_are_written_as_fmt_writes_them() {
        for number in [0, 1, 9, 10, 15, 16, 99, 100, 0x019a_bcde_f012, u64::MAX] {
            let (mut ten, mut sixteen) = (String::new(), String::new());
            push_number::<10>(&mut ten, number);
            push_number::<16>(&mut sixteen, number);
            assert_eq!((ten, sixteen), (number.to_string(), format!("{number:x}")));
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
