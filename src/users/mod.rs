//! Users of the embedded broker: the file that names them, and whether a password is theirs.
//!
//! A password is never kept: the file holds argon2id hashes (RFC 9106, as PHC strings), and hashing happens on a few
//! threads of its own, which whoever waits for a verdict asks through a bounded queue ([`Verifier`]). Decides nothing
//! about what a user may do: that is [`crate::broker::Rights`].

mod cache;
mod file;
mod hash;
mod name;
#[cfg(test)]
mod tests;
mod verifier;

pub use file::{FileError, LineError, PasswordFile, store};
pub use hash::{HashError, StoredHash};
pub use name::{NameError, UserName};
#[cfg(test)]
pub(crate) use tests::cheap;
pub use verifier::{Overloaded, Verifier};

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Every user of one password file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<UserName, StoredHash>);

impl Users {
    /// Reads a password file.
    ///
    /// # Errors
    /// When it cannot be read, or when a single line of it is not understood: nobody is guessed at.
    pub fn load(path: &Path) -> Result<Users, FileError> {
        Ok(PasswordFile::load(path)?.users())
    }

    /// The stored hash of a user.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&StoredHash> {
        self.0.get(name)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is hashed for a name that nobody has, so that it takes as long as for one that somebody has: the stored
    /// hash of some other user, always the same for the same name.
    fn decoy(&self, name: &str) -> StoredHash {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let count = u64::try_from(self.0.len()).unwrap_or(u64::MAX).max(1);
        let place = usize::try_from(hasher.finish() % count).unwrap_or(0);
        self.0.values().nth(place).cloned().unwrap_or_else(StoredHash::of_nobody)
    }
}

impl FromIterator<(UserName, StoredHash)> for Users {
    fn from_iter<I: IntoIterator<Item = (UserName, StoredHash)>>(users: I) -> Users {
        Users(users.into_iter().collect())
    }
}
