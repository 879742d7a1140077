//! Every reason code in every packet, and the return codes of 3.1.1 that stand for them.

use tidegate::mqtt::ReasonCode;

use super::wire::{SIDES, Side, V3_1, V3_1_1, V5, packet, read};

/// The codes that the tables of sections 3.2 to 3.15 give to a packet from a client and from a server.
fn allowed(first: u8, side: Side) -> &'static [u8] {
    match (first, side) {
        (0x20, _) => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
            0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
        (0x40 | 0x50, _) => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        (0x62 | 0x70, _) => &[0x00, 0x92],
        (0x90, _) => &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
        (0xb0, _) => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        (0xe0, Side::Client) => {
            &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
        }
        (0xe0, Side::Server) => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
            0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
        (0xf0, Side::Client) => &[0x18, 0x19],
        (0xf0, Side::Server) => &[0x00, 0x18],
        _ => &[],
    }
}

#[test]
fn each_reason_code_belongs_in_the_packets_whose_table_has_it() {
    // [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2] [MQTT-3.11.3-2]
    // [MQTT-3.14.2-1] [MQTT-3.15.2-1]
    let places = [
        (0x20, "00 CODE 00"),
        (0x40, "0001 CODE"),
        (0x50, "0001 CODE"),
        (0x62, "0001 CODE"),
        (0x70, "0001 CODE"),
        (0x90, "0001 00 CODE"),
        (0xb0, "0001 00 CODE"),
        (0xe0, "CODE"),
        (0xf0, "CODE ( 15 s:m )"),
    ];
    for (first, body) in places {
        for side in SIDES {
            if side == Side::Client && matches!(first, 0x20 | 0x90 | 0xb0) {
                continue;
            }
            for code in 0..=0xFF_u8 {
                let wire = packet(first, &body.replace("CODE", &format!("{code:02x}")));
                match read(side, V5, &wire) {
                    Ok(_) => assert!(allowed(first, side).contains(&code), "{side:?} {wire:02x?}"),
                    Err(error) => {
                        assert!(!allowed(first, side).contains(&code), "{side:?} {wire:02x?}: {error}");
                        assert_eq!(error.reason, ReasonCode::ProtocolError);
                    }
                }
            }
        }
    }
}

#[test]
fn return_codes_of_3_1_1_and_reason_codes_stand_for_each_other() {
    for version in [V3_1, V3_1_1] {
        for code in 0..=0xFF_u8 {
            let connack = read(Side::Server, version, &packet(0x20, &format!("00 {code:02x}")));
            assert_eq!(connack.is_ok(), code <= 5, "CONNACK {code}");
            // [MQTT-3.9.3-2] of 3.1.1
            let suback = read(Side::Server, version, &packet(0x90, &format!("0001 {code:02x}")));
            assert_eq!(suback.is_ok(), code <= 2 || code == 0x80, "SUBACK {code}");
        }
    }
    for code in 0..=5 {
        let reason = ReasonCode::from_connect_return_code(code).unwrap();
        assert_eq!(reason.as_connect_return_code(), code);
    }
    for code in [0, 1, 2, 0x80] {
        let reason = ReasonCode::from_subscribe_return_code(code).unwrap();
        assert_eq!(reason.as_subscribe_return_code(), code);
    }
    for reason in (0..=0xFF).filter_map(ReasonCode::from_u8) {
        assert_eq!(reason.as_connect_return_code() != 0, reason.is_error(), "{reason:?}");
        if reason.is_error() {
            assert_eq!(reason.as_subscribe_return_code(), 0x80, "{reason:?}");
        }
    }
}
