//! A mistake in a profile: where it is, what is wrong, and what was probably meant.

use std::fmt;
use std::ops::Range;

/// A mistake in a profile file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError {
    /// The file, as it was named when it was read.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl std::error::Error for ProfileError {}

impl fmt::Display for ProfileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Collects the mistakes of one file.
#[derive(Debug)]
pub(super) struct Mistakes<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<ProfileError>,
}

impl<'a> Mistakes<'a> {
    /// Of a file that has none yet.
    pub(super) fn new(file: &'a str, text: &'a str) -> Mistakes<'a> {
        Mistakes { file, text, found: Vec::new() }
    }

    /// Notes a mistake at a place in the text.
    pub(super) fn add(&mut self, at: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let line = self.line_of(at.start);
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.found.push(ProfileError {
            file: self.file.to_owned(),
            line,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
            message: message.into(),
            hint,
        });
    }

    /// Notes what the TOML reader says, with the nearest key that it knows.
    pub(super) fn add_toml(&mut self, error: &toml::de::Error) {
        let mut quoted = error.message().split('`').skip(1).step_by(2);
        let unknown = error.message().starts_with("unknown ");
        let hint = quoted.next().filter(|_| unknown).and_then(|word| did_you_mean(word, quoted));
        self.add(error.span().unwrap_or(0..0), in_words(error.message().trim_end()), hint);
    }

    /// The line of a place in the text.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).matches('\n').count() + 1
    }

    /// Everything found, in the order of the file.
    pub(super) fn into_found(mut self) -> Vec<ProfileError> {
        self.found.sort_by_key(|error| (error.line, error.column));
        self.found
    }
}

/// What the TOML reader calls values by the names of Rust, as the reference of the language calls them.
fn in_words(message: &str) -> String {
    const WORDS: [(&str, &str); 11] = [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected u16", "expected a whole number, 0 to 65535"),
        ("expected u8", "expected a whole number, 0 to 255"),
        ("expected i32", "expected a whole number"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list, `[...]`"),
        ("expected a map", "expected a table, `{ ... }`"),
        ("invalid type: map", "invalid type: a table"),
    ];
    WORDS.iter().fold(message.to_owned(), |said, (from, to)| said.replace(from, to))
}

/// `did you mean "..."?`, when one of the known words is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean {near:?}?"))
}

/// The known word that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    let near = known.into_iter().map(|candidate| (distance(word, candidate), candidate));
    near.filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Insertions, deletions and replacements between two words, letter case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(from != *to);
            left = replaced.min(left + 1).min(above + 1);
            next.push(left);
            diagonal = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_what_was_meant() {
        assert_eq!(distance("lenght", "length"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("lenght", ["end", "length", "start"]), Some("length"));
        assert_eq!(nearest("CHECKSUM", ["checksum"]), Some("checksum"));
        assert_eq!(nearest("nova-sds001", ["nova-sds011", "csv"]), Some("nova-sds011"));
        assert_eq!(nearest("banana", ["end", "length"]), None);
    }
}
