//! The hash of one password: argon2id (RFC 9106), written as a PHC string.
//!
//! ```text
//! $argon2id$v=19$m=19456,t=2,p=1$<salt, base64>$<hash, base64>
//!                │       │   └ lanes
//!                │       └ passes
//!                └ KiB of memory
//! ```
//!
//! The cost of a new hash is what OWASP's cheat sheet on password storage names first for argon2id: 19 MiB, two
//! passes. A stored hash says its own cost, which may be another, within bounds: whoever may write the file must not
//! be able to stop the gateway by a slip.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordHash};

/// Bounds of what a stored hash may cost: KiB of memory, passes, lanes.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// The cost of a new hash, and a salt and hash that belong to no password that anybody knows.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a text is no hash that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is not written as one.
    #[error("no argon2id hash as `tidegate passwd` makes it")]
    Form,
    /// It is one of another algorithm.
    #[error("a hash of another algorithm than argon2id: set the password anew with `tidegate passwd`")]
    Algorithm,
    /// It would take too much memory or time.
    #[error(
        "a hash that costs more than {MAX_MEMORY_KIB} KiB, {MAX_PASSES} passes or {MAX_LANES} lanes: set the \
         password anew with `tidegate passwd`"
    )]
    Cost,
    /// The system gives no randomness or no memory.
    #[error("the system gives no randomness or no memory for a new hash")]
    System,
}

/// A hash with its salt and its cost. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash(Arc<str>);

impl StoredHash {
    /// Reads a PHC string.
    ///
    /// # Errors
    /// When it is none of argon2id, or costs too much.
    pub fn parse(text: &str) -> Result<StoredHash, HashError> {
        let parsed = PasswordHash::new(text).map_err(|_| HashError::Form)?;
        if parsed.algorithm != ARGON2ID_IDENT {
            return Err(HashError::Algorithm);
        }
        if parsed.salt.is_none() || parsed.hash.is_none() {
            return Err(HashError::Form);
        }
        let cost = Params::try_from(&parsed).map_err(|_| HashError::Form)?;
        if cost.m_cost() > MAX_MEMORY_KIB || cost.t_cost() > MAX_PASSES || cost.p_cost() > MAX_LANES {
            return Err(HashError::Cost);
        }
        Ok(StoredHash(text.into()))
    }

    /// Hashes a new password, with a new salt.
    ///
    /// # Errors
    /// When the system gives no randomness or no memory.
    pub fn of_password(password: &[u8]) -> Result<StoredHash, HashError> {
        let hash = Argon2::default().hash_password(password).map_err(|_| HashError::System)?;
        Ok(StoredHash(hash.to_string().into()))
    }

    /// One that no password has, of the usual cost.
    pub(super) fn of_nobody() -> StoredHash {
        StoredHash(NOBODY.into())
    }

    /// Whether this is the hash of a password. Takes long and much memory, on purpose.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match PasswordHash::new(&self.0) {
            Ok(parsed) => Argon2::default().verify_password(password, &parsed).is_ok(),
            Err(_) => false,
        }
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StoredHash(<redacted>)")
    }
}
