//! Logins that were verified a short while ago, so that a whole site may come back without being hashed anew.
//!
//! Holds no password and no hash of one that is of use elsewhere: an entry is a keyed BLAKE2s of user, password and
//! stored hash, under a key that this process made and tells nobody. A changed password changes the stored hash, so
//! its old entries are never found again. Only what was right is remembered: a wrong password always costs a hash.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput, KeyInit, Update};
use rustix::rand::{GetRandomFlags, getrandom};

use super::hash::StoredHash;
use crate::limits::{REMEMBERED_LOGINS, REMEMBERED_LOGINS_FOR};

/// The keyed hash of one login.
pub(super) type Mark = [u8; 32];

/// Verified logins, the oldest forgotten first.
pub(super) struct Cache {
    key: [u8; 32],
    known: HashMap<Mark, Instant>,
    oldest_first: VecDeque<Mark>,
}

impl Cache {
    /// An empty cache with a key of its own; `None` when the system gives no randomness: then nothing is remembered.
    pub(super) fn new() -> Option<Cache> {
        let mut key = [0; 32];
        let filled = getrandom(&mut key, GetRandomFlags::empty()).ok()?;
        if filled < key.len() {
            return None;
        }
        Some(Cache { key, known: HashMap::new(), oldest_first: VecDeque::new() })
    }

    /// The mark of a login.
    pub(super) fn mark(&self, name: &str, password: &[u8], stored: &StoredHash) -> Option<Mark> {
        let mut mac = Blake2sMac256::new_from_slice(&self.key).ok()?;
        for part in [name.as_bytes(), password, stored.as_str().as_bytes()] {
            // With their lengths: no two logins are written the same.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part);
        }
        Some(mac.finalize_fixed().into())
    }

    /// Whether a login was verified lately.
    pub(super) fn knows(&self, mark: &Mark, now: Instant) -> bool {
        self.known.get(mark).is_some_and(|at| now.saturating_duration_since(*at) < REMEMBERED_LOGINS_FOR)
    }

    /// Remembers a login that was verified just now.
    pub(super) fn remember(&mut self, mark: Mark, now: Instant) {
        if self.known.insert(mark, now).is_none() {
            self.oldest_first.push_back(mark);
        }
        while self.oldest_first.len() > REMEMBERED_LOGINS {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}
