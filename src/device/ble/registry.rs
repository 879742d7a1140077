//! Finds the format of an advertisement: by its services, its companies, and for those that hide values in the
//! company identifier by name and shape.
//!
//! The formats of one identifier are tried in order, the particular before the general: an iBeacon comes last,
//! since many sensors are one beside what they are.

use super::advertisement::Advertisement;
use super::crypt::{Key, Memory};
use super::data::{Data, Outcome, Refusal};
use super::family::*;
use super::readout::{Readout, Sighting};
use crate::device::problem::{Problem, ProblemKind};

/// One field of an advertisement on its way through a decoder.
pub(super) struct Frame<'a> {
    /// All of the advertisement.
    pub(super) advertisement: &'a Advertisement,
    /// The short UUID or company identifier under which `data` stands.
    pub(super) id: u16,
    /// What stands there.
    pub(super) data: Data<'a>,
    /// The device's key.
    pub(super) key: Option<&'a Key>,
    /// What is remembered of the device.
    pub(super) memory: &'a mut Memory,
}

/// Reads one field.
type Decode = fn(&mut Frame<'_>, &mut Readout) -> Outcome;

/// A format: the name of its family, and how it is read.
type Format = (&'static str, Decode);

/// What an advertisement says.
///
/// # Errors
/// A problem of kind [`ProblemKind::Unknown`] when no format claims it; otherwise what is wrong with it.
pub fn decode(
    advertisement: &Advertisement,
    key: Option<&Key>,
    memory: &mut Memory,
) -> Result<Sighting, Problem> {
    let services = advertisement.service_data.iter();
    let services = services.filter_map(|(uuid, data)| uuid.short().map(|id| (id, data, by_service(id))));
    let companies = advertisement.manufacturer_data.iter().map(|(id, data)| (*id, data, by_company(*id)));
    let shapes = advertisement.manufacturer_data.iter().map(|(id, data)| (*id, data, BY_SHAPE));
    let beacons = advertisement.manufacturer_data.iter().map(|(id, data)| (*id, data, BEACONS));
    let mut problem = None;
    for (id, data, formats) in services.chain(companies).chain(shapes).chain(beacons) {
        for (family, read) in formats {
            let mut readout = Readout::default();
            let mut frame = Frame { advertisement, id, data: Data(data), key, memory };
            match read(&mut frame, &mut readout) {
                Ok(()) => return finish(family, readout),
                Err(Refusal::Bad(found)) => problem = problem.or(Some(found)),
                Err(Refusal::Foreign) => {}
            }
        }
    }
    Err(problem.unwrap_or_else(|| Problem::new(ProblemKind::Unknown, "no known format")))
}

fn finish(family: &'static str, readout: Readout) -> Result<Sighting, Problem> {
    let Readout { model, measurements, problems, packet, event } = readout;
    let nothing = measurements.is_empty().then(|| problems.first().cloned()).flatten();
    match nothing {
        Some(problem) => Err(problem),
        None => Ok(Sighting { family, model, measurements, problems, packet, event }),
    }
}

fn by_service(id: u16) -> &'static [Format] {
    match id {
        0xFCD2 | 0x181C | 0x181E => &[("bthome", bthome::read)],
        0xFE95 => &[("xiaomi", mibeacon::read)],
        0xFD50 => &[("xiaomi", xiaomi_plain::flower_care)],
        0x181B | 0x181D => &[("xiaomi", xiaomi_plain::scale)],
        0xFEE0 => &[("xiaomi", xiaomi_plain::band), ("amazfit", xiaomi_plain::amazfit_scale)],
        0x181A => &[("atc-pvvx", atc::read), ("b-parasite", parasite::read), ("relsib", relsib::thermometer)],
        0x1809 => &[("relsib", relsib::thermometer)],
        0xAA20..=0xAA22 => &[("relsib", relsib::clerk)],
        0xFDCD | 0xFFF9 => &[("qingping", qingping::read)],
        0xFD3D | 0x0D00 => &[("switchbot", switchbot::read)],
        0xFEAA => &[("kkm", kkm::read), ("eddystone", beacons::eddystone)],
        0x5242 => &[("holyiot", small::holy_iot)],
        0xF51C | 0xF525 => &[("jaalee", ibeacon_like::jaalee_service)],
        0x2A06 | 0x2A6E | 0x2A6F => &[("teltonika", teltonika::standard)],
        0x1803 | 0x0318 => &[("radioland", ibeacon_like::radioland)],
        0x1000 => &[("moat", small::moat_service)],
        0xFEAB | 0xFF01 => &[("mokosmart", small::moko)],
        0xFFF0 => &[("feasycom", small::feasycom)],
        0x0000 => &[
            ("april-brother", ibeacon_like::april_brother_temperature),
            ("april-brother", small::april_brother),
            ("nodon", small::nod_on),
        ],
        _ => &[],
    }
}

fn by_company(id: u16) -> &'static [Format] {
    match id {
        0x0499 => &[("ruuvi", ruuvi::read)],
        0x02E1 => &[("victron", victron::read)],
        0x0702 => &[("aranet", aranet::read)],
        0x06D5 => &[("sensirion", sensirion::read)],
        0x0059 => &[("mopeka", mopeka::read)],
        0x0969 => &[("switchbot", switchbot::read)],
        0x00DC => &[("oral-b", oral_b::read)],
        0x0133 => &[("bluemaestro", bluemaestro::read)],
        0x094F => &[("mikrotik", small::mikrotik)],
        0x0757 | 0x089A => &[("teltonika", teltonika::manufacturer)],
        0xAA55 => &[("thermobeacon", thermobeacon::t201)],
        0x05CD => &[("chef-iq", small::chef_iq)],
        0xACC0 => &[("acconeer", small::acconeer)],
        0x06E8 => &[("almendo", small::almendo)],
        0x0194 => &[("blustream", small::blustream)],
        0x0131 => &[("oras", tanks::garnet_or_oras)],
        0xFAEE => &[("oras", tanks::oras_shower)],
        0x00C5 => &[("onset", tanks::onset)],
        0x03B1 => &[("otodata", tanks::otodata)],
        0xF214 => &[("grundfos", small::grundfos)],
        0x07B4 => &[("hormann", small::hormann)],
        0x01AE => &[("smartdry", small::smart_dry)],
        0x0828 => &[("tms", small::michelin)],
        0x0157 => &[("xiaomi", xiaomi_plain::band)],
        0xFF04 => &[("xoss", small::xoss)],
        0x006B => &[("polar", small::polar)],
        0x0100 => &[("tpms", small::tyre), ("senssun", scales::senssun)],
        0x0000 => &[("tpms", small::tyre)],
        0x000D => &[("otio-beewi", small::beewi)],
        0x81EF => &[("atomax", scales::skale)],
        0xA0AC => &[("laica", scales::laica)],
        0x1000 => &[("moat", small::moat)],
        0xFFFF => &[("kegtron", tanks::kegtron)],
        0x2111 | 0x2112 | 0x2121 | 0x2122 | 0x5112 | 0x5122 | 0x6111 | 0x6121 => {
            &[("air-mentor", small::air_mentor)]
        }
        _ => &[],
    }
}

/// Formats that no identifier names: each looks at the name, the services and the shape of the data.
const BY_SHAPE: &[Format] = &[
    ("thermopro", thermopro::read),
    ("inkbird", inkbird::read),
    ("thermobeacon", thermobeacon::read),
    ("mocreo", small::mocreo),
    ("sensorpush", sensorpush::read),
    ("govee", govee::read),
    ("jinou", small::jinou),
    ("inode", inode::read),
    ("xiaogui", scales::xiaogui),
];

/// What many sensors are beside what they are.
const BEACONS: &[Format] = &[
    ("jaalee", ibeacon_like::jaalee),
    ("tilt", ibeacon_like::tilt),
    ("april-brother", ibeacon_like::april_brother_temperature),
    ("radioland", ibeacon_like::radioland),
    ("ibeacon", beacons::ibeacon),
    ("altbeacon", beacons::altbeacon),
];

/// Every family, sorted: what `[ble] auto` may name.
pub fn families() -> Vec<&'static str> {
    let ids = 0..=u16::MAX;
    let named = ids.flat_map(|id| by_service(id).iter().chain(by_company(id)));
    let mut families: Vec<&str> = named.chain(BY_SHAPE).chain(BEACONS).map(|(family, _)| *family).collect();
    families.sort_unstable();
    families.dedup();
    families
}
