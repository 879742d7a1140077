//! A line of `KEY=VALUE` pairs: `T=20.1 H=40`, `T:20.1,H:40`, `T = 20.1; H = 40`.

use super::{Decoded, Meaning};
use crate::device::problem::{Problem, ProblemKind};
use crate::reading::MeasurementName;

/// Which pairs are taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::device) struct KeyValue {
    /// What is taken; empty: every pair, under its own key.
    pub(in crate::device) fields: Vec<KeyValueField>,
}

/// One key.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct KeyValueField {
    /// As the device writes it.
    pub(in crate::device) key: String,
    /// What its value means.
    pub(in crate::device) meaning: Meaning,
}

impl KeyValue {
    pub(super) fn decode(&self, line: &str, to: &mut Decoded) -> Result<(), Problem> {
        let mut any = false;
        for_each_pair(line, |key, value| {
            any = true;
            if self.fields.is_empty() {
                match MeasurementName::parse(key) {
                    Some(name) => Meaning::plain(name).text(value, to),
                    None => to.problem(ProblemKind::Name, "a key cannot name a measurement".to_owned()),
                }
            } else if let Some(field) = self.fields.iter().find(|field| field.key == key) {
                field.meaning.text(value, to);
            }
        });
        if any { Ok(()) } else { Err(Problem::new(ProblemKind::Syntax, "the line has no KEY=VALUE")) }
    }
}

/// Finds the pairs of a line. Blanks may stand around `=`; a key is then the last word before it, a value the
/// first word behind it.
fn for_each_pair(line: &str, mut found: impl FnMut(&str, &str)) {
    let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '|');
    let mut words = line.split(between).filter(|word| !word.is_empty()).peekable();
    let mut last_word = "";
    while let Some(word) = words.next() {
        let Some((key, value)) = word.split_once(['=', ':']) else {
            last_word = word;
            continue;
        };
        let key = if key.is_empty() { last_word } else { key };
        let value = match value {
            "" => words.next_if(|next| !next.contains(['=', ':'])).unwrap_or(""),
            value => value,
        };
        last_word = "";
        if !key.is_empty() {
            found(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_however_they_are_spaced() {
        let pairs = |line: &str| {
            let mut found = Vec::new();
            for_each_pair(line, |key, value| found.push(format!("{key}/{value}")));
            found.join(" ")
        };
        assert_eq!(pairs("T=20.1 H=40 V=3.00"), "T/20.1 H/40 V/3.00");
        assert_eq!(pairs("T:20.1,H:40;V:3"), "T/20.1 H/40 V/3");
        assert_eq!(pairs("T = 20.1, H= 40 ,V =3"), "T/20.1 H/40 V/3");
        assert_eq!(pairs("T= H=40"), "T/ H/40");
        assert_eq!(pairs("reading T=1"), "T/1");
        assert_eq!(pairs("hello = "), "hello/");
        assert_eq!(pairs("=5 boot ok"), "");
    }
}
