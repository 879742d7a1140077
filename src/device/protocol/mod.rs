//! Protocols whose frames are more than start, length and checksum: each file is one, its frames and what they say.
//!
//! A protocol judges the bytes at hand as [`Framing`](super::framer::Framing) does, and gives the content of a frame
//! without its wrapping. Never gives a frame whose checksum does not hold.

mod esp3;
mod iec62056;
mod m_bus;
mod nmea;
mod obis;
mod sealed;
mod sml;
mod teleinfo;
mod ve_direct;

pub(super) use esp3::{EnOcean, parse_eep};
pub(super) use m_bus::{Meter, decode as decode_m_bus};
pub(super) use nmea::decode as decode_nmea;
pub(super) use obis::ObisCode;
pub(super) use ve_direct::{decode_hex as decode_ve_direct_hex, is_message as is_ve_direct_message};

use super::framer::Verdict;
use super::modbus::Request;
use super::problem::Problem;
use super::secret::MeterKeys;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// EnOcean serial protocol 3.
    Esp3,
    /// Meters that send text: IEC 62056-21, DSMR P1.
    Iec62056,
    /// Wired M-Bus, EN 13757.
    MBus,
    /// Modbus RTU, the master's side.
    Modbus,
    /// Smart Message Language, transport version 1.
    Sml,
    /// The customer port of French meters.
    Teleinfo,
    /// Victron VE.Direct, text blocks.
    VeDirect,
    /// Victron VE.Direct, HEX messages.
    VeDirectHex,
}

impl Protocol {
    const ALL: [(&'static str, Protocol); 8] = [
        ("esp3", Protocol::Esp3),
        ("iec62056-21", Protocol::Iec62056),
        ("m-bus", Protocol::MBus),
        ("modbus", Protocol::Modbus),
        ("sml", Protocol::Sml),
        ("teleinfo", Protocol::Teleinfo),
        ("ve-direct", Protocol::VeDirect),
        ("ve-direct-hex", Protocol::VeDirectHex),
    ];

    /// The names a profile may use.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Protocol::ALL.iter().map(|(name, _)| *name)
    }

    /// The protocol of that name.
    pub(super) fn parse(name: &str) -> Option<Protocol> {
        Protocol::ALL.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol)
    }

    /// Judges the bytes at hand, which are not empty. The content of a whole frame is put into `plain`.
    pub(super) fn inspect(
        self,
        pending: &[u8],
        asked: Option<&Request>,
        keys: Option<&MeterKeys>,
        plain: &mut Vec<u8>,
    ) -> Verdict {
        plain.clear();
        match self {
            Protocol::Esp3 => esp3::inspect(pending, plain),
            Protocol::Iec62056 => iec62056::inspect(pending, keys, plain),
            Protocol::MBus => m_bus::inspect(pending, plain),
            Protocol::Modbus => {
                asked.map_or(Verdict::Garbage(pending.len()), |asked| asked.inspect(pending, plain))
            }
            Protocol::Sml => sml::inspect(pending, plain),
            Protocol::Teleinfo => teleinfo::inspect(pending, plain),
            Protocol::VeDirect => ve_direct::inspect(pending, plain),
            Protocol::VeDirectHex => ve_direct::inspect_hex(pending, plain),
        }
    }
}

/// A label with its value, as a frame says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) label: &'a str,
    pub(super) value: &'a str,
    /// The unit that the frame names.
    pub(super) unit: Option<&'a str>,
}

/// How pairs of label and value are written in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairs {
    VeDirect,
    Teleinfo,
    Iec62056,
    Sml,
}

impl Pairs {
    /// Gives each pair of a frame to `found`, in order; a line whose own checksum does not hold is a problem.
    pub(super) fn each(self, frame: &[u8], found: &mut dyn FnMut(Result<Pair<'_>, Problem>)) {
        match self {
            Pairs::VeDirect => ve_direct::pairs(frame, found),
            Pairs::Teleinfo => teleinfo::pairs(frame, found),
            Pairs::Iec62056 => iec62056::pairs(frame, found),
            Pairs::Sml => sml::pairs(frame, found),
        }
    }

    /// Whether labels are OBIS codes.
    pub(super) const fn are_obis(self) -> bool {
        matches!(self, Pairs::Iec62056 | Pairs::Sml)
    }
}

/// Where `needle` first stands in `bytes` at or behind `from`.
fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let at = bytes.get(from..)?.windows(needle.len()).position(|window| window == needle)?;
    Some(from + at)
}

/// How many bytes at the front cannot begin a frame that opens with `start`; `None`: it begins here.
fn garbage_before(pending: &[u8], start: u8) -> Option<Verdict> {
    match pending.iter().position(|byte| *byte == start) {
        Some(0) => None,
        at => Some(Verdict::Garbage(at.unwrap_or(pending.len()))),
    }
}
