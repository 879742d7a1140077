//! The keys that a meter encrypts its telegrams with.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A key of AES-128. It never shows itself in `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MeterKey([u8; 16]);

/// The authentication key of meters that have been given none of their own (Luxembourg's P1 specification, 3.2.6).
const COMMON_AUTHENTICATION: MeterKey = MeterKey([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF,
]);

impl MeterKey {
    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for MeterKey {
    type Err = &'static str;

    /// 32 hexadecimal digits; blanks and hyphens between them do not count.
    fn from_str(text: &str) -> Result<MeterKey, &'static str> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let bytes = super::hex(&digits).and_then(|bytes| bytes.try_into().ok());
        bytes.map(MeterKey).ok_or("a meter's key has 32 hexadecimal digits")
    }
}

impl TryFrom<String> for MeterKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<MeterKey, &'static str> {
        text.parse()
    }
}

impl fmt::Debug for MeterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MeterKey(<redacted>)")
    }
}

/// What opens the telegrams of one meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MeterKeys {
    pub(super) encryption: MeterKey,
    pub(super) authentication: MeterKey,
}

impl MeterKeys {
    pub(super) fn new(encryption: MeterKey, authentication: Option<MeterKey>) -> MeterKeys {
        MeterKeys { encryption, authentication: authentication.unwrap_or(COMMON_AUTHENTICATION) }
    }
}
