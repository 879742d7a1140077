//! Bluetooth: advertisements as they come out of the air, and values of characteristics, whatever a fuzzer makes of them.

use std::sync::{Arc, OnceLock};

use aes::Aes128;
use bytes::Bytes;
use ccm::Ccm;
use ccm::aead::{Aead as _, KeyInit as _, Payload};
use ccm::consts::{U4, U11, U12, U13};
use tidegate::device::ble::{Address, Advertisement, Key, Memory, Sighting, Uuid, decode};
use tidegate::device::{GattReader, Library, Measurements, Profile};
use tidegate::reading::Value;

const KEY: &str = "231d39c1d7cc1ab1aee224cd096db932";
const SENDER: Address = Address([0x54, 0x48, 0xE6, 0x8F, 0x80, 0xA5]);

/// The first byte says whether there is a key, and of which length; what follows are the fields of an advertisement (Core Specification,
/// Vol 3, Part C, 11): length, type, data. Nothing panics, nothing is said twice, no number is none.
pub(crate) fn fuzz_advertisement(data: &[u8]) {
    let Some((first, fields)) = data.split_first() else { return };
    let digits = if first & 2 == 0 { KEY } else { &KEY[..24] };
    let key = (first & 1 == 1).then(|| Key::parse(digits)).flatten();
    let advertisement = advertisement(fields);
    let mut memory = Memory::default();
    if let Ok(sighting) = decode(&advertisement, key.as_ref(), &mut memory) {
        check(&sighting);
    }
    // A repetition is read like the first.
    let _ = decode(&advertisement, key.as_ref(), &mut memory);
}

fn advertisement(mut fields: &[u8]) -> Advertisement {
    let mut one = Advertisement { address: SENDER, ..Advertisement::default() };
    while let Some((&length, behind)) = fields.split_first() {
        let (field, rest) = behind.split_at(usize::from(length).min(behind.len()));
        fields = rest;
        let Some((kind, data)) = field.split_first() else { continue };
        match (kind, data) {
            (0x02 | 0x03, _) => {
                let uuids =
                    data.chunks_exact(2).map(|pair| Uuid::from_short(u16::from_le_bytes([pair[0], pair[1]])));
                one.service_uuids.extend(uuids);
            }
            (0x08 | 0x09, _) => one.name = Some(String::from_utf8_lossy(data).into_owned()),
            (0x16, [low, high, data @ ..]) => {
                let uuid = Uuid::from_short(u16::from_le_bytes([*low, *high]));
                one.service_data.push((uuid, Bytes::copy_from_slice(data)));
            }
            (0x21, _) if data.len() >= 16 => {
                let (uuid, data) = data.split_at(16);
                let uuid = u128::from_le_bytes(uuid.try_into().unwrap_or_default());
                one.service_data.push((Uuid(uuid), Bytes::copy_from_slice(data)));
            }
            (0xFF, [low, high, data @ ..]) => {
                let company = u16::from_le_bytes([*low, *high]);
                one.manufacturer_data.push((company, Bytes::copy_from_slice(data)));
            }
            _ => {}
        }
    }
    one
}

/// The same as the bytes that [`fuzz_advertisement`] takes: what a fuzzer begins with.
#[allow(dead_code, reason = "the fuzzer has its own beginnings")]
pub(crate) fn bytes_of(advertisement: &Advertisement, has_key: bool) -> Vec<u8> {
    let mut bytes = vec![u8::from(has_key)];
    let mut field = |kind: u8, parts: [&[u8]; 2]| {
        let length = 1 + parts[0].len() + parts[1].len();
        bytes.push(u8::try_from(length).unwrap_or(u8::MAX));
        bytes.push(kind);
        bytes.extend(parts[0]);
        bytes.extend(parts[1]);
    };
    for uuid in &advertisement.service_uuids {
        if let Some(short) = uuid.short() {
            field(0x03, [&short.to_le_bytes(), &[]]);
        }
    }
    if let Some(name) = &advertisement.name {
        field(0x09, [name.as_bytes(), &[]]);
    }
    for (uuid, data) in &advertisement.service_data {
        match uuid.short() {
            Some(short) => field(0x16, [&short.to_le_bytes(), data]),
            None => field(0x21, [&uuid.0.to_le_bytes(), data]),
        }
    }
    for (company, data) in &advertisement.manufacturer_data {
        field(0xFF, [&company.to_le_bytes(), data]);
    }
    bytes
}

fn check(sighting: &Sighting) {
    check_measurements(&sighting.measurements);
}

fn check_measurements(measurements: &Measurements) {
    for (place, one) in measurements.iter().enumerate() {
        if let Value::Number(number) = one.value {
            assert!(number.is_finite(), "{}", one.name.as_str());
        }
        let is_double = measurements.iter().take(place).any(|other| other.name == one.name);
        assert!(!is_double, "{} is said twice", one.name.as_str());
    }
}

/// The first byte says in which format the rest is sealed, the second which bit of it is then changed: what is sealed
/// never panics whatever it holds, and what was changed says nothing.
#[allow(dead_code, reason = "the other targets use the rest")]
pub(crate) fn fuzz_sealed(data: &[u8]) {
    let [format, place, text @ ..] = data else { return };
    let Some((service, covered_from, frame)) = sealed(*format, text) else { return };
    let key = Key::parse(KEY);
    let read = |frame: Vec<u8>| {
        let mut advertisement = Advertisement { address: SENDER, ..Advertisement::default() };
        advertisement.service_data.push((Uuid::from_short(service), Bytes::from(frame)));
        decode(&advertisement, key.as_ref(), &mut Memory::default())
    };
    if let Ok(sighting) = read(frame.clone()) {
        check(&sighting);
    }
    let mut changed = frame;
    let bit = usize::from(*place) % ((changed.len() - covered_from) * 8) + covered_from * 8;
    changed[bit / 8] ^= 1 << (bit % 8);
    assert!(read(changed).is_err(), "bit {bit} was changed in format {format} with {text:02x?}");
}

/// The service, where what the tag covers begins, and the frame.
fn sealed(format: u8, text: &[u8]) -> Option<(u16, usize, Vec<u8>)> {
    let key: [u8; 16] = tidegate::device::hex(KEY)?.try_into().ok()?;
    let text = &text[..text.len().min(64)];
    let (address, counter) = (SENDER.0, [0x11, 0x22, 0x33, 0x44]);
    let mut reversed = address;
    reversed.reverse();
    Some(match format % 4 {
        0 => {
            let nonce = [&address[..], &[0xD2, 0xFC, 0x41], &counter].concat().try_into().ok()?;
            let (text, tag) = seal_13(&key, nonce, &[], text)?;
            (0xFCD2, 0, [&[0x41], &text[..], &counter, &tag].concat())
        }
        1 => {
            let nonce = [&address[..], &[0x1E, 0x18], &counter].concat().try_into().ok()?;
            let (text, tag) = seal_12(&key, nonce, &[0x11], text)?;
            (0x181E, 0, [&text[..], &counter, &tag].concat())
        }
        2 => {
            let head = [0x58, if format & 4 == 0 { 0x58 } else { 0x48 }, 0x5B, 0x04, 0x21];
            let nonce = [&reversed[..], &head[2..], &counter[..3]].concat().try_into().ok()?;
            let (text, tag) = seal_12(&key, nonce, &[0x11], text)?;
            (0xFE95, 2, [&head[..], &reversed, &text, &counter[..3], &tag].concat())
        }
        _ => {
            let mut own = text.to_vec();
            own.resize(if format & 4 == 0 { 6 } else { 3 }, 0);
            let length = u8::try_from(own.len() + 8).ok()?;
            let nonce = [&reversed[..], &[length, 0x16, 0x1A, 0x18, 0x33]].concat().try_into().ok()?;
            let (text, tag) = seal_11(&key, nonce, &[0x11], &own)?;
            (0x181A, 0, [&[0x33], &text[..], &tag].concat())
        }
    })
}

macro_rules! seals {
    ($($name:ident $bytes:literal $length:ty),*) => {
        $(fn $name(key: &[u8; 16], nonce: [u8; $bytes], aad: &[u8], msg: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
            let cipher = Ccm::<Aes128, U4, $length>::new(key.into());
            let mut sealed = cipher.encrypt(&nonce.into(), Payload { msg, aad }).ok()?;
            let tag = sealed.split_off(msg.len());
            Some((sealed, tag))
        })*
    };
}

seals!(seal_13 13 U13, seal_12 12 U12, seal_11 11 U11);

/// Values of a device's characteristics: the first byte says of which profile, the second of which characteristic, the
/// third how long the first of two values is.
pub(crate) fn fuzz_characteristic(data: &[u8]) {
    let [profile, characteristic, length, values @ ..] = data else { return };
    let profiles = profiles();
    let Some(profile) = profiles.get(usize::from(*profile) % profiles.len()) else { return };
    let Some(gatt) = &profile.gatt else { return };
    let Some(one) =
        gatt.characteristics.get(usize::from(*characteristic) % gatt.characteristics.len().max(1))
    else {
        return;
    };
    let mut reader = GattReader::new(Arc::clone(profile));
    let (first, second) = values.split_at(usize::from(*length).min(values.len()));
    for value in [first, second] {
        reader.read(one.uuid, value, &mut |found| {
            if let Ok(measurements) = found {
                check_measurements(&measurements);
            }
        });
    }
}

/// All that are read over connections.
fn profiles() -> &'static [Arc<Profile>] {
    static PROFILES: OnceLock<Vec<Arc<Profile>>> = OnceLock::new();
    PROFILES.get_or_init(|| {
        let library = Library::shipped();
        let all = library.names().filter_map(|name| library.profile(name).ok());
        all.filter(|profile| profile.gatt.is_some()).map(Arc::new).collect()
    })
}
