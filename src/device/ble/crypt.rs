//! Keys, what is remembered of a device, and the encryption that the formats share: AES-128 in CCM mode with a tag
//! of four bytes (RFC 3610), and plain AES for the few that have no tag.
//!
//! A key never shows itself in `Debug`.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use ccm::Ccm;
use ccm::aead::{Aead as _, Payload};
use ccm::consts::{U4, U11, U12, U13, U16};

use super::data::{Refusal, bad};
use crate::device::problem::ProblemKind;

/// What a device's advertisements are encrypted with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 16],
    /// 16, or 12 for MiBeacon before version 4.
    length: usize,
}

impl Key {
    /// Reads the usual notation: 32 hexadecimal digits, or 24 for old Xiaomi devices.
    #[must_use]
    pub fn parse(text: &str) -> Option<Key> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let given = super::super::hex(&digits)?;
        let mut bytes = [0; 16];
        if !matches!(given.len(), 12 | 16) {
            return None;
        }
        for (place, byte) in bytes.iter_mut().zip(&given) {
            *place = *byte;
        }
        Some(Key { bytes, length: given.len() })
    }

    /// The key of 16 bytes.
    pub(super) fn full(&self) -> Result<&[u8; 16], Refusal> {
        if self.length == 16 { Ok(&self.bytes) } else { Err(wrong_length()) }
    }

    /// The 12 bytes of old MiBeacon keys.
    pub(super) fn short(&self) -> Result<&[u8; 12], Refusal> {
        match self.bytes.first_chunk() {
            Some(short) if self.length == 12 => Ok(short),
            _ => Err(wrong_length()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(<redacted>)")
    }
}

fn wrong_length() -> Refusal {
    bad(ProblemKind::WrongKey, "wrong key: its length is not the one that this format uses")
}

/// It is encrypted and there is no key.
pub(super) fn no_key() -> Refusal {
    bad(ProblemKind::NoKey, "no key: the advertisement is encrypted; give the sensor its `key`")
}

fn wrong_key() -> Refusal {
    bad(ProblemKind::WrongKey, "wrong key, or tampered with: the advertisement's tag does not hold")
}

/// What is not encrypted. A device that has a key encrypts: a plain frame in its name could be anybody's.
pub(super) fn plain(key: Option<&Key>) -> Result<(), Refusal> {
    let detail = "wrong key: the advertisement is not encrypted though the sensor has a key";
    if key.is_none() { Ok(()) } else { Err(bad(ProblemKind::WrongKey, detail)) }
}

/// A device that restarted begins to count anew; a counter below this is taken for that.
const RESTARTED: u32 = 100;

/// What is remembered of one device from advertisement to advertisement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    counter: Option<u32>,
}

impl Memory {
    /// Takes the counter of an authentic advertisement; an older one than the last is a replay, unless the device
    /// has begun anew. Its repetition is none.
    pub(super) fn accept(&mut self, counter: u32) -> Result<(), Refusal> {
        match self.counter {
            Some(last) if counter < last && counter >= RESTARTED => Err(bad(
                ProblemKind::Replayed,
                "replayed: its counter is lower than one that was heard before",
            )),
            _ => {
                self.counter = Some(counter);
                Ok(())
            }
        }
    }
}

type Ccm13 = Ccm<Aes128, U4, U13>;
type Ccm12 = Ccm<Aes128, U4, U12>;
type Ccm11 = Ccm<Aes128, U4, U11>;
type Ccm13Whole = Ccm<Aes128, U16, U13>;

/// Opens `sealed`, the ciphertext with its tag of four bytes behind.
pub(super) fn open(
    key: &[u8; 16],
    nonce: &[u8],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let payload = Payload { msg: sealed, aad: associated };
    let opened = match nonce.len() {
        13 => nonce.try_into().ok().map(|nonce| Ccm13::new(key.into()).decrypt(nonce, payload)),
        12 => nonce.try_into().ok().map(|nonce| Ccm12::new(key.into()).decrypt(nonce, payload)),
        11 => nonce.try_into().ok().map(|nonce| Ccm11::new(key.into()).decrypt(nonce, payload)),
        _ => None,
    };
    opened.and_then(Result::ok).ok_or_else(wrong_key)
}

/// Opens what carries no more of its tag of sixteen bytes than the first.
pub(super) fn open_curtailed(
    key: &[u8; 16],
    nonce: &[u8; 13],
    associated: &[u8],
    sealed: &[u8],
    tag: u8,
) -> Result<Vec<u8>, Refusal> {
    let cipher = Ccm13Whole::new(key.into());
    let seal = |text: &[u8]| cipher.encrypt(nonce.into(), Payload { msg: text, aad: associated });
    // What zeros become is the stream that hides the others.
    let mut opened = seal(&vec![0; sealed.len()]).map_err(|_| wrong_key())?;
    opened.truncate(sealed.len());
    for (byte, hidden) in opened.iter_mut().zip(sealed) {
        *byte ^= hidden;
    }
    let again = seal(&opened).map_err(|_| wrong_key())?;
    if again.get(sealed.len()) == Some(&tag) { Ok(opened) } else { Err(wrong_key()) }
}

/// Decrypts one block.
pub(super) fn block(key: &[u8; 16], block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    Aes128::new(key.into()).decrypt_block(&mut block);
    block.into()
}

/// Encrypts one block: a part of the key stream, for formats in counter mode without a tag.
pub(super) fn stream(key: &[u8; 16], block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    Aes128::new(key.into()).encrypt_block(&mut block);
    block.into()
}
