//! An advertisement as it came out of the air, taken apart into its fields; their bytes are not interpreted here.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

/// The 48-bit address of a device, its most significant byte first, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 6]);

impl Address {
    /// Reads `A4:C1:38:12:34:56`, with `-`, `_` or nothing between the bytes too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Address> {
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '_')).collect();
        let bytes = super::super::hex(&digits)?;
        Some(Address(bytes.try_into().ok()?))
    }

    /// The bytes in the order in which the air carries them.
    pub(super) fn reversed(self) -> [u8; 6] {
        let mut bytes = self.0;
        bytes.reverse();
        bytes
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}")
    }
}

/// A 128-bit UUID of a service or characteristic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

/// `0000xxxx-0000-1000-8000-00805F9B34FB`: the UUIDs that the Bluetooth SIG gives out (Core Specification, Vol 3,
/// Part B, 2.5.1).
const BASE: u128 = 0x0000_0000_0000_1000_8000_0080_5F9B_34FB;

impl Uuid {
    /// From the short form.
    #[must_use]
    pub fn from_short(short: u16) -> Uuid {
        Uuid(BASE | (u128::from(short) << 96))
    }

    /// The short form, of those that have one.
    #[must_use]
    pub fn short(self) -> Option<u16> {
        let short = u16::try_from(self.0 >> 96).ok()?;
        (Uuid::from_short(short) == self).then_some(short)
    }

    /// Reads the short form (four hexadecimal digits) or the full one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Uuid> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() == 4 {
            return u16::from_str_radix(&digits, 16).ok().map(Uuid::from_short);
        }
        (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok().map(Uuid))?
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(short) = self.short() {
            return write!(formatter, "{short:04x}");
        }
        let part = |shift: u32, bits: u32| (self.0 >> shift) & ((1_u128 << bits) - 1);
        let (a, b, c, d, e) = (part(96, 32), part(80, 16), part(64, 16), part(48, 16), part(0, 48));
        write!(formatter, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

/// One advertisement, scan response included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advertisement {
    /// Who sent it.
    pub address: Address,
    /// The name that it advertises; never one that a host made up.
    pub name: Option<String>,
    /// By company identifier, in the order of arrival.
    pub manufacturer_data: SmallVec<[(u16, Bytes); 2]>,
    /// By service.
    pub service_data: SmallVec<[(Uuid, Bytes); 2]>,
    /// Services that it says it has.
    pub service_uuids: SmallVec<[Uuid; 2]>,
    /// Signal strength in dBm.
    pub rssi: Option<i16>,
    /// With how much power it was sent, in dBm.
    pub tx_power: Option<i16>,
    /// Whether it takes connections, where that is known.
    pub connectable: Option<bool>,
}

impl Advertisement {
    /// The name, empty when there is none.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Whether it says that it has this service.
    pub(super) fn has_service(&self, short: u16) -> bool {
        self.service_uuids.contains(&Uuid::from_short(short))
    }

    /// What the company of this identifier says.
    pub(super) fn manufacturer(&self, company: u16) -> Option<&[u8]> {
        self.manufacturer_data.iter().find(|(id, _)| *id == company).map(|(_, data)| &**data)
    }

    /// What is said about this service.
    pub(super) fn service(&self, short: u16) -> Option<&[u8]> {
        let uuid = Uuid::from_short(short);
        self.service_data.iter().find(|(id, _)| *id == uuid).map(|(_, data)| &**data)
    }
}
