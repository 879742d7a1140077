//! Topic names and topic filters (section 4.7 of both standards).

use std::fmt;

use bytestring::ByteString;

/// Why a string is not a topic name or filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// `[MQTT-4.7.3-1]`
    #[error("a topic has at least one character")]
    Empty,
    /// `[MQTT-4.7.3-3]`
    #[error("a topic has at most 65535 bytes")]
    TooLong,
    /// `[MQTT-4.7.3-2]`
    #[error("a topic must not contain the null character")]
    Null,
    /// `[MQTT-3.3.2-2]`
    #[error("the wildcards + and # belong in a filter, not in a topic name")]
    WildcardInName,
    /// `[MQTT-4.7.1-1]`
    #[error("# stands for the rest: it must be the last level, alone between slashes")]
    MultiLevelMisplaced,
    /// `[MQTT-4.7.1-2]`
    #[error("+ stands for one whole level: it must be alone between slashes")]
    SingleLevelMisplaced,
    /// `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`
    #[error("a shared subscription is written $share/NAME/FILTER, its name without + and #")]
    Share,
}

/// Where a message is published: no wildcards. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(ByteString);

/// What a subscription matches: `+` for one level, `#` for the rest. Cheap to clone.
///
/// Includes the `$share/NAME/` prefix when it has one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(ByteString);

impl TopicName {
    /// Parses a topic name.
    ///
    /// # Errors
    /// When it is empty, too long, or contains a null character or a wildcard.
    #[inline]
    pub fn parse(text: impl Into<ByteString>) -> Result<TopicName, TopicError> {
        let text = text.into();
        if is_suspicious(text.as_bytes()) {
            check_characters(&text)?;
            return Err(TopicError::WildcardInName);
        }
        check_length(&text)?;
        Ok(TopicName(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text.
    #[must_use]
    pub fn as_byte_string(&self) -> &ByteString {
        &self.0
    }

    /// A copy in memory of its own: what was read from a socket keeps the whole read buffer alive.
    #[must_use]
    pub fn detached(&self) -> TopicName {
        TopicName(ByteString::from(self.as_str()))
    }

    /// The parts between the slashes; at least one, any of them may be empty.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether the name belongs to the server's own tree, which `#` and `+/...` do not match `[MQTT-4.7.2-1]`.
    #[must_use]
    pub fn is_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl TopicFilter {
    /// Parses a topic filter, with or without `$share/NAME/`.
    ///
    /// # Errors
    /// When a wildcard is misplaced, or the text is empty, too long or contains a null character.
    pub fn parse(text: impl Into<ByteString>) -> Result<TopicFilter, TopicError> {
        let text = text.into();
        check_characters(&text)?;
        let filter = match text.strip_prefix("$share/") {
            None if &*text == "$share" => return Err(TopicError::Share),
            None => &*text,
            Some(rest) => match rest.split_once('/') {
                Some((name, filter))
                    if !name.is_empty() && !filter.is_empty() && !name.contains(['+', '#']) =>
                {
                    filter
                }
                _ => return Err(TopicError::Share),
            },
        };
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return Err(TopicError::MultiLevelMisplaced);
            }
            if level.contains('+') && level != "+" {
                return Err(TopicError::SingleLevelMisplaced);
            }
        }
        Ok(TopicFilter(text))
    }

    /// The filter as text, as it was subscribed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter as shared text.
    #[must_use]
    pub fn as_byte_string(&self) -> &ByteString {
        &self.0
    }

    /// The name of the shared subscription, for `$share/NAME/FILTER`.
    #[must_use]
    pub fn share_name(&self) -> Option<&str> {
        let (name, _) = self.0.strip_prefix("$share/")?.split_once('/')?;
        Some(name)
    }

    /// What is matched: the filter without `$share/NAME/`.
    #[must_use]
    pub fn matched(&self) -> &str {
        match self.0.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((_, filter)) => filter,
            None => &self.0,
        }
    }

    /// The parts between the slashes of what is matched.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.matched().split('/')
    }

    /// Whether a message published to `name` belongs to this filter (section 4.7).
    #[must_use]
    pub fn matches(&self, name: &TopicName) -> bool {
        let matched = self.matched();
        // [MQTT-4.7.2-1]
        if name.is_dollar() && matched.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = name.levels();
        for wanted in matched.split('/') {
            if wanted == "#" {
                return true;
            }
            match levels.next() {
                Some(level) if wanted == "+" || wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

/// Whether a null character or a wildcard is among the bytes. Every PUBLISH comes through here: eight at a time.
fn is_suspicious(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let any = chunks.iter().fold(0, |any, chunk| any | suspicious_bytes(u64::from_ne_bytes(*chunk)));
    any != 0 || rest.iter().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}

/// Zero when no byte of the word is suspicious.
fn suspicious_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // + and # differ in one bit.
    let without_it = word & (ONES * 0xF7);
    let wildcards = without_it ^ (ONES * 0x23);
    // A byte is zero exactly if subtracting one borrows from its highest bit, which was not set.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES * 0x80);
    zeros(word) | zeros(wildcards)
}

fn check_characters(text: &ByteString) -> Result<(), TopicError> {
    check_length(text)?;
    if text.as_bytes().contains(&0) {
        return Err(TopicError::Null);
    }
    Ok(())
}

fn check_length(text: &ByteString) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    Ok(())
}

impl fmt::Display for TopicName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}
