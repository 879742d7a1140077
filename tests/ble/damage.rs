//! Damaged advertisements: flipped, cut, lengthened, garbage. Nothing panics, no number is not a number, and nothing
//! comes out of a sealed frame that was touched.

use bytes::Bytes;
use tidegate::adapter::ble::Written;
use tidegate::device::ble::{Advertisement, Memory, Uuid, decode as decode_with};
use tidegate::reading::Value;

use super::random::Random;
use super::{captures, decode, fuzz, seal};

fn check(written: &Written) {
    if let Ok(sighting) = decode(written) {
        for one in &sighting.measurements {
            if let Value::Number(number) = one.value {
                assert!(number.is_finite(), "{} of {written:?}", one.name.as_str());
            }
        }
        let mut names: Vec<&str> = sighting.measurements.iter().map(|one| one.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), sighting.measurements.len(), "each name once: {written:?}");
    }
}

/// The payloads of an advertisement, to be damaged.
fn payloads(advertisement: &mut Advertisement) -> Vec<&mut Bytes> {
    let makers = advertisement.manufacturer_data.iter_mut().map(|(_, data)| data);
    makers.chain(advertisement.service_data.iter_mut().map(|(_, data)| data)).collect()
}

fn damage(data: &Bytes, random: &mut Random) -> Bytes {
    let mut bytes = data.to_vec();
    for _ in 0..=random.below(3) {
        match random.below(4) {
            0 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            1 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] = random.byte();
            }
            2 => bytes.truncate(random.below(bytes.len() + 1)),
            _ => bytes.extend((0..random.below(8)).map(|_| random.byte())),
        }
    }
    Bytes::from(bytes)
}

#[test]
fn damaged_captures_never_panic_and_never_give_what_is_no_number() {
    for (place, capture) in captures().iter().enumerate() {
        let whole = Written::read(capture).unwrap();
        for seed in 0..300_u64 {
            let mut random = Random(seed * 1000 + place as u64);
            let mut written = whole.clone();
            for data in payloads(&mut written.advertisement) {
                *data = damage(data, &mut random);
            }
            check(&written);
        }
    }
}

/// Every identifier that a format listens to, with random bytes of every length.
#[test]
fn garbage_under_every_identifier_never_panics() {
    let mut random = Random(7);
    let names = [
        "",
        "sps",
        "tps",
        "iBBQ",
        "TP357 (1)",
        "TP972S",
        "MOCREO",
        "ST7",
        "GVH5075_1",
        "ECo",
        "s",
        "P T 1",
        "RDL52832",
    ];
    for round in 0..60_000_u32 {
        let mut advertisement = Advertisement::default();
        let data: Vec<u8> = (0..random.below(48)).map(|_| random.byte()).collect();
        let id = u16::from_le_bytes([random.byte(), random.byte()]);
        let known = [
            0x0499_u16, 0x02E1, 0x0702, 0x06D5, 0x0059, 0x0969, 0x00DC, 0x0133, 0x094F, 0x0757, 0x089A,
            0xAA55, 0x004C, 0xEC88, 0x0001, 0x0010, 0x0000, 0xFFFF, 0x0131, 0x8290, 0x9B90,
        ];
        let services = [
            0xFCD2_u16, 0x181C, 0x181E, 0xFE95, 0xFD50, 0x181B, 0x181D, 0xFEE0, 0x181A, 0x1809, 0xAA20,
            0xFDCD, 0xFD3D, 0xFEAA, 0x5242, 0xF51C, 0x2A6E, 0x1803, 0x1000, 0xFEAB, 0xFFF0, 0x0000,
        ];
        let company = if round % 4 == 0 { id } else { known[random.below(known.len())] };
        advertisement.name =
            Some(names[random.below(names.len())].to_owned()).filter(|name| !name.is_empty());
        if round % 2 == 0 {
            advertisement.manufacturer_data.push((company, Bytes::from(data)));
        } else {
            let service = Uuid::from_short(services[random.below(services.len())]);
            advertisement.service_data.push((service, Bytes::from(data)));
        }
        advertisement.service_uuids.push(Uuid::from_short([0xFFF0, 0xFEE5, 0xEC88, 0xF525][random.below(4)]));
        check(&Written { advertisement, key: None });
    }
}

/// Sealed frames, one of every format that has a seal, and which bytes of them the seal does not cover: MiBeacon
/// authenticates neither frame control nor capability from version 4 on, before it not the first byte of the
/// address; of Govee's frames the sensor's number stands ahead of the checksum.
const SEALED: [(&str, &[usize]); 11] = [
    ("bthome-v1-encrypted", &[]),
    ("bthome-v2-encrypted", &[]),
    ("mibeacon-v3-encrypted-knob", &[10]),
    ("mibeacon-v3-encrypted-press", &[10]),
    ("mibeacon-v3-encrypted-turn", &[10]),
    ("mibeacon-v4-encrypted", &[0, 1]),
    ("mibeacon-v4-encrypted-with-capability", &[0, 1, 5]),
    ("mibeacon-v5-encrypted", &[0, 1]),
    ("pvvx-encrypted-custom", &[]),
    ("pvvx-encrypted-atc1441", &[]),
    ("govee-h5123-open", &[0, 1]),
];

fn sealed() -> impl Iterator<Item = (&'static str, &'static [usize], Written)> {
    let captures = captures();
    SEALED.into_iter().map(move |(id, uncovered)| {
        let capture = captures.iter().find(|capture| capture["id"] == id).unwrap();
        (id, uncovered, Written::read(capture).unwrap())
    })
}

/// The same with another payload.
fn with(written: &Written, data: Vec<u8>) -> Written {
    let mut other = written.clone();
    *payloads(&mut other.advertisement)[0] = Bytes::from(data);
    other
}

/// A changed bit gives an error, whichever it is; where the seal does not cover it, at most what the whole frame says.
/// A frame that was cut or lengthened gives an error.
#[test]
fn nothing_comes_out_of_a_sealed_frame_that_was_touched() {
    for (id, uncovered, written) in sealed() {
        let true_words = decode(&written).unwrap().measurements;
        assert!(!true_words.is_empty(), "{id}");
        let data = payloads(&mut written.clone().advertisement)[0].to_vec();
        for bit in 0..data.len() * 8 {
            let mut bytes = data.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(sighting) = decode(&with(&written, bytes)) {
                let is_harmless = uncovered.contains(&(bit / 8)) && sighting.measurements == true_words;
                assert!(is_harmless, "{id}: bit {bit} was flipped and gave {:?}", sighting.measurements);
            }
        }
        for length in 0..data.len() {
            assert!(decode(&with(&written, data[..length].to_vec())).is_err(), "{id}: cut to {length}");
        }
        let mut random = Random(11);
        for more in 1..16 {
            let longer = data.iter().copied().chain((0..more).map(|_| random.byte())).collect();
            assert!(decode(&with(&written, longer)).is_err(), "{id}: {more} bytes more");
        }
    }
}

/// A frame that does not carry its sender's address says nothing under another's; none says anything with another key.
#[test]
fn a_sealed_frame_of_another_sensor_says_nothing() {
    let carries_address = |id: &str| id.starts_with("mibeacon") && !id.ends_with("capability");
    for (id, _, written) in sealed().filter(|(id, ..)| !id.starts_with("govee")) {
        let mut moved = written.clone();
        moved.advertisement.address.0[5] ^= 1;
        assert!(carries_address(id) || decode(&moved).is_err(), "{id}: another address");
        let digits = if id.starts_with("mibeacon-v3") { 24 } else { 32 };
        for key in ["0", "a", "f"].map(|digit| digit.repeat(digits)) {
            let other = Written { key: tidegate::device::ble::Key::parse(&key), ..written.clone() };
            assert_eq!(decode(&other).unwrap_err().kind.label(), "wrong_key", "{id}");
        }
        let keyless = Written { key: None, ..written };
        assert_eq!(decode(&keyless).unwrap_err().kind.label(), "no_key", "{id}");
    }
}

/// A forged counter does not let a true frame pass as newer: the counter is authenticated.
#[test]
fn a_forged_counter_does_not_open() {
    let written = seal("5448E68F80A5", 4711, &[0x02, 0xCA, 0x09]);
    let data = &written.advertisement.service_data[0].1;
    let counter = data.len() - 8;
    let mut bytes = data.to_vec();
    bytes[counter] = bytes[counter].wrapping_add(1);
    let mut forged = written.clone();
    forged.advertisement.service_data[0].1 = Bytes::from(bytes);
    let mut memory = Memory::default();
    let problem = decode_with(&forged.advertisement, forged.key.as_ref(), &mut memory).unwrap_err();
    assert_eq!(problem.kind.label(), "wrong_key");
    assert_eq!(memory, Memory::default(), "what is not authentic is not remembered");
}

/// What the fuzzer runs, from seeds: every capture as bytes of the air, damaged; every profile's captured values, too.
#[test]
fn the_fuzz_targets_hold_on_damaged_captures() {
    for (place, capture) in captures().iter().enumerate() {
        let written = Written::read(capture).unwrap();
        let whole = Bytes::from(fuzz::bytes_of(&written.advertisement, written.key.is_some()));
        for seed in 0..200_u64 {
            fuzz::fuzz_advertisement(&damage(&whole, &mut Random(seed * 977 + place as u64)));
        }
    }
    for seed in 0..20_000_u64 {
        let mut random = Random(seed);
        // Some of it as objects would be: an identifier that is known, then anything.
        let begin: &[u8] = [&[][..], &[0x02], &[0x3A], &[0x0D, 0x10, 0x04], &[0x23, 0x02]][random.below(5)];
        let mut data = vec![random.byte(), random.byte()];
        data.extend_from_slice(begin);
        data.extend((0..random.below(24)).map(|_| random.byte()));
        fuzz::fuzz_sealed(&data);
    }
    let library = tidegate::device::Library::shipped();
    let captures: Vec<Vec<u8>> = library
        .names()
        .filter_map(|name| library.profile(name).ok())
        .filter(|profile| profile.gatt.is_some())
        .flat_map(|profile| profile.captures.into_iter().flat_map(|capture| capture.values))
        .collect();
    assert!(captures.len() > 40);
    for (place, value) in captures.iter().enumerate() {
        for seed in 0..400_u64 {
            let mut random = Random(seed * 31 + place as u64);
            let head = [random.byte(), random.byte(), random.byte() % 24];
            let value = damage(&Bytes::from([&head[..], value, value].concat()), &mut random);
            fuzz::fuzz_characteristic(&value);
        }
    }
}
