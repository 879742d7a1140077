//! Tests of the decoders as wholes; the formats' own captures are in `tests/ble.rs`.

use bytes::Bytes;

use super::*;

#[test]
fn addresses_and_uuids_are_read_and_written_as_people_write_them() {
    let address = Address::parse("a4-c1-38-12-34-56").unwrap();
    assert_eq!(address.to_string(), "A4:C1:38:12:34:56");
    assert_eq!(Address::parse("A4C138123456"), Some(address));
    assert_eq!(Address::parse("A4:C1:38:12:34"), None);
    let short = Uuid::parse("fcd2").unwrap();
    assert_eq!((short.short(), short.to_string().as_str()), (Some(0xFCD2), "fcd2"));
    assert_eq!(Uuid::parse("0000FCD2-0000-1000-8000-00805F9B34FB"), Some(short));
    let long = "ef090000-11d6-42ba-93b8-9dd7ec090ab0";
    assert_eq!(Uuid::parse(long).unwrap().to_string(), long);
    assert_eq!(Uuid::parse("fcd"), None);
}

#[test]
fn nobody_claims_what_nobody_knows() {
    let mut advertisement = Advertisement::default();
    let problem = decode(&advertisement, None, &mut Memory::default()).unwrap_err();
    assert_eq!(problem.kind, crate::device::ProblemKind::Unknown);
    advertisement.manufacturer_data.push((0x1234, Bytes::from_static(&[1, 2, 3])));
    assert!(decode(&advertisement, None, &mut Memory::default()).is_err());
    assert!(families().contains(&"bthome") && families().contains(&"ruuvi"));
}

#[test]
fn a_key_does_not_show_itself() {
    let key = Key::parse("231d39c1d7cc1ab1aee224cd096db932").unwrap();
    assert_eq!(format!("{key:?}"), "Key(<redacted>)");
    assert_eq!(Key::parse("231d39c1"), None);
}
