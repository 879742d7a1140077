//! Names of users: what may stand in the password file and, through `%u`, in a topic.

use std::borrow::Borrow;
use std::fmt;

/// The longest name, in bytes: what MQTT's strings can carry is far more than anybody can read.
const MAX_BYTES: usize = 255;

/// A name that a user may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Why a text is no name of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("a user's name has at least one character")]
    Empty,
    /// It is too long.
    #[error("a user's name has at most {MAX_BYTES} bytes")]
    TooLong,
    /// It contains what has a meaning elsewhere.
    #[error("a user's name must not contain {0:?}")]
    Character(char),
    /// It begins or ends with a space, which nobody would see.
    #[error("a user's name must not begin or end with a space")]
    Space,
    /// It would be taken for a topic of the server's own.
    #[error("a user's name must not begin with '$'")]
    Dollar,
}

impl UserName {
    /// Reads a name. Colons separate names from hashes in the file, `#` begins a comment; `+`, `#` and `/` have a
    /// meaning in topics, where a name comes to stand for `%u`.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn parse(text: &str) -> Result<UserName, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(NameError::TooLong);
        }
        let has_meaning = |c: char| matches!(c, ':' | '+' | '#' | '/') || c.is_control();
        if let Some(found) = text.chars().find(|c| has_meaning(*c)) {
            return Err(NameError::Character(found));
        }
        if text.trim() != text {
            return Err(NameError::Space);
        }
        if text.starts_with('$') {
            return Err(NameError::Dollar);
        }
        Ok(UserName(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
