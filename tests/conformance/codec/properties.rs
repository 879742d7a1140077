//! Every property in every packet: allowed where table 2-4 of 5.0 allows it, once unless it says more, in range.

use tidegate::limits;
use tidegate::mqtt::ReasonCode::{MalformedPacket, ProtocolError, QuotaExceeded, TopicAliasInvalid};

use super::wire::{Side, V5, accepted, bytes, packet, refused};

/// A packet with a hole for its properties: who sends it, first byte, what stands before and behind the hole.
struct Place(&'static str, Side, u8, &'static str, &'static str);

const PLACES: [Place; 17] = [
    Place("CONNECT", Side::Client, 0x10, "s:MQTT 05 02 003c", "s:c"),
    Place("will", Side::Client, 0x10, "s:MQTT 05 06 003c 00 s:c", "s:t s:p"),
    Place("CONNACK", Side::Server, 0x20, "00 00", ""),
    Place("PUBLISH to server", Side::Client, 0x30, "s:t", ""),
    Place("PUBLISH to client", Side::Server, 0x30, "s:t", ""),
    Place("PUBACK", Side::Client, 0x40, "0001 00", ""),
    Place("PUBREC", Side::Client, 0x50, "0001 00", ""),
    Place("PUBREL", Side::Client, 0x62, "0001 00", ""),
    Place("PUBCOMP", Side::Client, 0x70, "0001 00", ""),
    Place("SUBSCRIBE", Side::Client, 0x82, "0001", "s:t 00"),
    Place("SUBACK", Side::Server, 0x90, "0001", "00"),
    Place("UNSUBSCRIBE", Side::Client, 0xa2, "0001", "s:t"),
    Place("UNSUBACK", Side::Server, 0xb0, "0001", "00"),
    Place("DISCONNECT by client", Side::Client, 0xe0, "00", ""),
    Place("DISCONNECT by server", Side::Server, 0xe0, "00", ""),
    Place("AUTH by client", Side::Client, 0xf0, "18", ""),
    Place("AUTH by server", Side::Server, 0xf0, "18", ""),
];

/// A property, a value of its type, and where table 2-4 has it. A place that begins with such a word has it.
struct Entry(u8, &'static str, &'static [&'static str]);

const TABLE_2_4: [Entry; 27] = [
    Entry(0x01, "01", &["will", "PUBLISH"]),
    Entry(0x02, "00000001", &["will", "PUBLISH"]),
    Entry(0x03, "s:type", &["will", "PUBLISH"]),
    Entry(0x08, "s:answers", &["will", "PUBLISH"]),
    Entry(0x09, "0002 00ff", &["will", "PUBLISH"]),
    Entry(0x0B, "ffffff7f", &["PUBLISH to client", "SUBSCRIBE"]),
    Entry(0x11, "00000001", &["CONNECT", "CONNACK", "DISCONNECT by client"]),
    Entry(0x12, "s:c1", &["CONNACK"]),
    Entry(0x13, "0001", &["CONNACK"]),
    Entry(0x15, "s:method", &["CONNECT", "CONNACK", "AUTH"]),
    Entry(0x16, "0002 00ff", &["CONNECT", "CONNACK", "AUTH"]),
    Entry(0x17, "01", &["CONNECT"]),
    Entry(0x18, "00000001", &["will"]),
    Entry(0x19, "01", &["CONNECT"]),
    Entry(0x1A, "s:info", &["CONNACK"]),
    Entry(0x1C, "s:other", &["CONNACK", "DISCONNECT"]),
    Entry(0x1F, "s:reason", &["CONNACK", "PUBA", "PUBR", "PUBC", "SUBACK", "UNSUBACK", "DISCONNECT", "AUTH"]),
    Entry(0x21, "0001", &["CONNECT", "CONNACK"]),
    Entry(0x22, "0001", &["CONNECT", "CONNACK"]),
    Entry(0x23, "0001", &["PUBLISH"]),
    Entry(0x24, "01", &["CONNACK"]),
    Entry(0x25, "01", &["CONNACK"]),
    Entry(0x26, "s:name s:value", &[""]),
    Entry(0x27, "00000001", &["CONNECT", "CONNACK"]),
    Entry(0x28, "01", &["CONNACK"]),
    Entry(0x29, "01", &["CONNACK"]),
    Entry(0x2A, "01", &["CONNACK"]),
];

impl Place {
    fn with(&self, properties: &[u8]) -> Vec<u8> {
        let Place(_, _, first, before, behind) = self;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
        packet(*first, &format!("{before} ( {} ) {behind}", hex(properties)))
    }

    /// What its properties must contain in any case, so that one more can be tried.
    fn needs(&self, identifier: u8) -> Vec<u8> {
        let method = bytes("15 s:m");
        match identifier {
            0x15 => Vec::new(),
            0x16 => method,
            _ if self.0.starts_with("AUTH") => method,
            _ => Vec::new(),
        }
    }
}

#[test]
fn each_property_belongs_where_table_2_4_has_it_and_nowhere_else() {
    for place in &PLACES {
        for Entry(identifier, value, homes) in &TABLE_2_4 {
            let mut properties = place.needs(*identifier);
            properties.push(*identifier);
            properties.extend(bytes(value));
            let wire = place.with(&properties);
            let why = format!("property {identifier:#04x} in {}", place.0);
            if homes.iter().any(|home| place.0.starts_with(home)) {
                accepted(place.1, V5, &wire, &why);
            } else {
                // Two have a statement of their own: [MQTT-3.3.4-6] [MQTT-3.14.2-2].
                let own = matches!(
                    (place.0, identifier),
                    ("PUBLISH to server", 0x0B) | ("DISCONNECT by server", 0x11)
                );
                let reason = if own { ProtocolError } else { MalformedPacket };
                refused(place.1, V5, &wire, reason, &why);
            }
        }
        for identifier in (0..=0xFF).filter(|one| TABLE_2_4.iter().all(|entry| entry.0 != *one)) {
            let mut properties = vec![identifier];
            properties.extend([0; 8]);
            refused(place.1, V5, &place.with(&properties), MalformedPacket, "no such property");
        }
    }
}

#[test]
fn each_property_stands_once_unless_the_standard_allows_more() {
    for place in &PLACES {
        for Entry(identifier, value, homes) in &TABLE_2_4 {
            if !homes.iter().any(|home| place.0.starts_with(home)) {
                continue;
            }
            let mut properties = place.needs(*identifier);
            for _ in 0..2 {
                properties.push(*identifier);
                properties.extend(bytes(value));
            }
            let wire = place.with(&properties);
            let why = format!("property {identifier:#04x} twice in {}", place.0);
            if *identifier == 0x26 || (*identifier == 0x0B && place.0 == "PUBLISH to client") {
                accepted(place.1, V5, &wire, &why);
            } else {
                refused(place.1, V5, &wire, ProtocolError, &why);
            }
        }
    }
}

#[test]
fn values_are_in_range() {
    let [connect, _, connack, publish, publish_to_client, ..] = &PLACES;
    let cases = [
        (publish, "01 02", ProtocolError),
        (connect, "17 02", ProtocolError),
        (connect, "19 ff", ProtocolError),
        (connack, "24 02", ProtocolError),
        (connack, "25 02", ProtocolError),
        (connack, "28 02", ProtocolError),
        (connack, "29 02", ProtocolError),
        (connack, "2a 02", ProtocolError),
        (connect, "21 0000", ProtocolError),
        (connect, "27 00000000", ProtocolError),
        (publish, "23 0000", TopicAliasInvalid),
        (publish_to_client, "0b 00", ProtocolError),
        (publish_to_client, "0b 8000", MalformedPacket),
        (publish_to_client, "0b ffffffff01", MalformedPacket),
        (connect, "16 0000", ProtocolError),
        (connack, "16 0000", ProtocolError),
    ];
    for (place, properties, reason) in cases {
        refused(place.1, V5, &place.with(&bytes(properties)), reason, properties);
    }
}

#[test]
fn a_packet_with_thousands_of_user_properties_is_refused() {
    let one = bytes("26 0000 0000");
    for place in &PLACES {
        let mut properties = place.needs(0x26);
        properties.extend(one.repeat(limits::USER_PROPERTIES));
        accepted(place.1, V5, &place.with(&properties), "as many as are allowed");
        properties.extend(&one);
        refused(place.1, V5, &place.with(&properties), QuotaExceeded, "one more");
    }
}
