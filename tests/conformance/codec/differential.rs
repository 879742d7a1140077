//! Beside a codec that we did not write: `rumqttc::mqttbytes`, 3.1.1 and 5.0.
//!
//! Sound packets go through both: what we write, rumqttc reads; what it writes, we read as what we wrote. Damaged
//! packets get two verdicts. Where the codecs differ is listed here with the reason; any other difference fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use tidegate::mqtt::{DecodeError, Packet, ProtocolVersion, ReasonCode, encode};

use super::arbitrary::packet;
use super::mutation::mutate;
use super::wire::{MAX, SIDES, Side, V3_1_1, V5, read, varint};

/// What rumqttc 0.25.1 cannot carry although it is sound.
fn rumqttc_fails_on(version: ProtocolVersion, packet: &Packet) -> Option<&'static str> {
    match packet {
        Packet::Auth(_) => Some("it writes AUTH and does not read it"),
        Packet::Disconnect(disconnect) if version == V5 => {
            let short = disconnect.session_expiry_interval_seconds.is_none()
                && disconnect.reason_string.is_none()
                && disconnect.user_properties.is_empty()
                && disconnect.server_reference.is_none();
            // We write the short form for Success only; what we read may have come in it with any reason.
            short.then_some("it does not read a DISCONNECT without the length of its properties")
        }
        Packet::Connect(connect) => {
            let is_text = |password: &[u8]| std::str::from_utf8(password).is_ok();
            if connect.password.as_deref().is_some_and(|password| !is_text(password)) {
                return Some("its passwords are text; the standards say binary data");
            }
            if connect.username.as_deref() == Some("") || connect.password.as_deref() == Some(b"") {
                return Some("it takes an empty user name or password for none");
            }
            None
        }
        _ => None,
    }
}

/// What rumqttc 0.25.1 does not check: the beginning of our complaint, and whose rule it is.
const RUMQTTC_DOES_NOT_CHECK: &[(&str, &str)] = &[
    ("DUP at QoS 0", "MQTT-3.3.1-2"),
    ("a field reaches behind the end", "the length of the properties as a bound (section 2.2.2)"),
    ("the properties reach behind the end", "the same"),
    ("unknown property", "the same, seen from the field that follows"),
    ("bytes are left over at the end", "what lies behind the last field"),
    ("a string contains the null character", "MQTT-1.5.4-2, in 3.1.1 MQTT-1.5.3-2"),
    ("a topic must not contain the null character", "the same, in a topic"),
    ("a string is not UTF-8", "MQTT-1.5.4-1: its topics of 5.0 are bytes"),
    ("a topic has at least one character", "MQTT-4.7.3-1"),
    ("the wildcards + and #", "MQTT-3.3.2-2"),
    ("neither a topic nor a topic alias", "section 3.3.2.1"),
    ("no topic filter", "MQTT-3.10.3-2, in UNSUBSCRIBE"),
    ("only a client sends this packet", "it does not know who sent it"),
    ("only a server sends this packet", "it does not know who sent it"),
    ("packet identifier 0", "MQTT-2.2.1-3, in acknowledgements"),
    ("reserved acknowledge flags", "MQTT-3.2.2-1"),
    ("reserved bits of the options", "MQTT-3.8.3-5"),
    ("reserved flags are set wrongly", "MQTT-2.1.3-1"),
    ("the reserved flag is not 0", "MQTT-3.1.2-3"),
    ("a variable byte integer uses more bytes", "MQTT-1.5.5-1"),
    ("a property", "properties twice (2.2.2.2) and flags that are neither 0 nor 1"),
    ("Authentication Data without", "section 3.1.2.11.10"),
    ("a password without a user name", "MQTT-3.1.2-22 of 3.1.1"),
    ("a client sends a Subscription Identifier", "MQTT-3.3.4-6"),
    ("a server sends a Session Expiry Interval", "MQTT-3.14.2-2"),
    ("No Local on a shared subscription", "MQTT-3.8.3-4"),
    ("reason code", "which side may send it (tables of sections 3.14.2.1)"),
    ("Subscription Identifier 0", "section 3.3.2.3.8"),
    ("Topic Alias 0", "MQTT-3.3.2-8"),
    ("Receive Maximum 0", "section 3.1.2.11.3"),
    ("Maximum Packet Size 0", "section 3.1.2.11.4"),
    ("too many", "bounds of ours"),
];

/// Whether the difference is one of those listed.
fn is_laxity_of_rumqttc(error: &DecodeError, version: ProtocolVersion, wire: &[u8]) -> bool {
    // Its codec of 3.1.1 takes a CONNECT of 5.0 for one of 3.1.1.
    let connect_of_another_version = version == V3_1_1 && wire[0] >> 4 == 1 && wire.get(8) == Some(&5);
    let is_listed = RUMQTTC_DOES_NOT_CHECK.iter().any(|(start, _)| error.message.starts_with(start));
    connect_of_another_version || is_listed
}

/// Reads a packet with rumqttc and gives back how rumqttc writes it.
fn through_rumqttc(version: ProtocolVersion, wire: &[u8]) -> Result<BytesMut, String> {
    let mut stream = BytesMut::from(wire);
    let mut written = BytesMut::new();
    if version == V5 {
        let packet = v5::Packet::read(&mut stream, None).map_err(|error| error.to_string())?;
        packet.write(&mut written, None).map_err(|error| error.to_string())?;
    } else {
        let packet = v4::Packet::read(&mut stream, MAX).map_err(|error| error.to_string())?;
        packet.write(&mut written, MAX).map_err(|error| error.to_string())?;
    }
    Ok(written)
}

fn sent_packet() -> impl Strategy<Value = (ProtocolVersion, Side, Packet)> {
    let version = prop::sample::select(vec![V3_1_1, V5]);
    (version, prop::sample::select(SIDES.to_vec())).prop_flat_map(|(version, side)| {
        packet(version, side).prop_map(move |packet| (version, side, packet))
    })
}

proptest! {
    #[test]
    fn sound_packets_go_through_rumqttc_unchanged((version, side, packet) in sent_packet()) {
        let mut wire = BytesMut::new();
        encode(version, &packet, &mut wire).unwrap();
        if rumqttc_fails_on(version, &packet).is_none() {
            let back = through_rumqttc(version, &wire);
            let back = back.map_err(|error| TestCaseError::fail(format!("{packet:?}: {error}")))?;
            prop_assert_eq!(read(side, version, &back), Ok(packet));
        }
    }
}

#[test]
fn damaged_packets_get_the_same_verdict_but_for_listed_differences() {
    let mut runner = TestRunner::deterministic();
    let mut verdicts = [0; 4];
    for _ in 0..1_000 {
        let (version, side, packet) = sent_packet().new_tree(&mut runner).unwrap().current();
        let mut wire = BytesMut::new();
        encode(version, &packet, &mut wire).unwrap();
        for _ in 0..10 {
            let damaged = damage(&wire, &mut runner);
            let ours = read(side, version, &damaged);
            // It may panic as well: that is a refusal here.
            let theirs = catch_unwind(AssertUnwindSafe(|| through_rumqttc(version, &damaged)));
            let theirs = theirs.unwrap_or_else(|_| Err("panic".into()));
            verdicts[compare(side, version, &damaged, ours, theirs)] += 1;
        }
    }
    println!(
        "both read {}, both refuse {}, only we refuse {}, only we read {}",
        verdicts[0], verdicts[1], verdicts[2], verdicts[3]
    );
    assert!(verdicts.iter().all(|count| *count > 0), "{verdicts:?}: too few tries");
}

/// Damages the body, sometimes the first byte, and keeps Remaining Length true.
fn damage(wire: &[u8], runner: &mut TestRunner) -> Vec<u8> {
    let length_bytes = wire[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    // `mutate` leaves the first byte alone.
    let mut body = wire[length_bytes..].to_vec();
    mutate(&mut body, runner.rng());
    let flip = if runner.rng().next_u32().is_multiple_of(8) { 1 << (runner.rng().next_u32() % 8) } else { 0 };
    let mut damaged = vec![wire[0] ^ flip];
    damaged.extend(varint(body.len() - 1));
    damaged.extend(&body[1..]);
    damaged
}

/// Judges two verdicts: 0 both read it, 1 both refuse it, 2 only we refuse it, 3 only we read it.
fn compare(
    side: Side,
    version: ProtocolVersion,
    wire: &[u8],
    ours: Result<Packet, DecodeError>,
    theirs: Result<BytesMut, String>,
) -> usize {
    match (ours, theirs) {
        (Err(_), Err(_)) => 1,
        (Err(error), Ok(_)) => {
            assert!(is_laxity_of_rumqttc(&error, version, wire), "{version:?} {wire:02x?}: {error}");
            2
        }
        (Ok(packet), theirs) => {
            if rumqttc_fails_on(version, &packet).is_some() {
                return 3;
            }
            let back = theirs.unwrap_or_else(|error| panic!("{version:?} {wire:02x?} {packet:?}: {error}"));
            assert_eq!(read(side, version, &back), Ok(packet), "{version:?} {wire:02x?}");
            0
        }
    }
}

#[test]
fn rumqttc_hears_why_it_is_disconnected() {
    // The reason for writing the length of properties that are not there, see `mqtt/disconnect.rs`.
    let disconnect = tidegate::mqtt::Disconnect::new(ReasonCode::SessionTakenOver);
    let mut wire = BytesMut::new();
    encode(V5, &Packet::Disconnect(Box::new(disconnect)), &mut wire).unwrap();
    let Ok(v5::Packet::Disconnect(read)) = v5::Packet::read(&mut wire, None) else { panic!() };
    assert_eq!(read.reason_code, v5::DisconnectReasonCode::SessionTakenOver);
}
