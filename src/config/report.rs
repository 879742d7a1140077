//! Problems of a configuration: what is wrong, where, and what was probably meant; for people and for programs.
//!
//! Never shows a secret: passwords and keys in the source lines are blotted out.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use regex::Regex;
use serde_json::{Value, json};

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the whole file, or what is missing from it.
    File,
    /// In the file, at these bytes.
    Span(Range<usize>),
    /// In the environment variable or on the command line, which is named.
    Override(Arc<str>),
}

impl Place {
    /// Whether both begin on one line of the text.
    pub(super) fn shares_line(&self, other: &Place, text: &str) -> bool {
        let (Place::Span(one), Place::Span(other)) = (self, other) else { return false };
        let (first, last) = (one.start.min(other.start), one.start.max(other.start));
        text.get(first..last).is_some_and(|between| !between.contains('\n'))
    }
}

/// Whether the gateway starts all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does not start.
    Error,
    /// It starts; something is not as it could be.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The path of the key, `uplink.cloud.url`; empty where there is none.
    pub key: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where.
    pub place: Place,
    /// Other places that belong to it, each with a few words.
    pub also: Vec<(Place, String)>,
}

impl Problem {
    /// Something with which the gateway does not start.
    pub(crate) fn error(key: impl Into<String>, place: Place, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            key: key.into(),
            message: message.into(),
            help: None,
            place,
            also: Vec::new(),
        }
    }

    /// Something that may be meant so.
    pub(crate) fn warning(key: impl Into<String>, place: Place, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(key, place, message) }
    }

    /// What to do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Another place that belongs to it.
    #[must_use]
    pub(super) fn also(mut self, place: &Place, label: impl Into<String>) -> Problem {
        self.also.push((place.clone(), label.into()));
        self
    }
}

/// Everything that was found in one file, in the order of the file.
#[derive(Clone, Default)]
pub struct Problems {
    path: PathBuf,
    /// The text with secrets blotted out, byte for byte as long as the file.
    text: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(path: &Path, text: &str, mut list: Vec<Problem>) -> Problems {
        list.sort_by_key(|problem| match &problem.place {
            Place::File => (0, 0),
            Place::Span(span) => (1, span.start),
            Place::Override(_) => (2, 0),
        });
        Problems { path: path.to_owned(), text: blot_secrets(text), list }
    }

    /// Adds what was found outside, as by trying ports; it takes the place of warnings about the same keys.
    pub fn extend(&mut self, found: Vec<Problem>) {
        self.list.retain(|old| old.severity == Severity::Error || found.iter().all(|new| new.key != old.key));
        self.list.extend(found);
    }

    /// The problems.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the gateway cannot start with this file.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    /// For people: the source line, what is wrong with it, what was probably meant.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut shown = String::new();
        for problem in &self.list {
            shown.push_str(&renderer.render(&[self.group(problem)]));
            shown.push_str("\n\n");
        }
        shown
    }

    /// For programs: an array of `{line, column, severity, message, help, key}`. Line and column count from 1, and
    /// are null for what was not written in the file.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.list.iter().map(|problem| self.problem_to_json(problem)).collect()
    }

    fn problem_to_json(&self, problem: &Problem) -> Value {
        let position = self.position(&problem.place);
        json!({
            "line": position.map(|(line, _)| line),
            "column": position.map(|(_, column)| column),
            "severity": problem.severity.to_string(),
            "message": self.message(problem),
            "help": problem.help,
            "key": problem.key,
        })
    }

    /// The message, with the name of the override that it is about.
    fn message(&self, problem: &Problem) -> String {
        match &problem.place {
            Place::Override(name) => format!("{name}: {}", problem.message),
            Place::File | Place::Span(_) => problem.message.clone(),
        }
    }

    /// Line and column, from 1; what concerns the whole file stands at its beginning.
    fn position(&self, place: &Place) -> Option<(usize, usize)> {
        let span = match place {
            Place::File => 0..0,
            Place::Span(span) => span.clone(),
            Place::Override(_) => return None,
        };
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Some((line, column))
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(self.message(problem)).elements(self.snippet(problem));
        for (place, label) in &problem.also {
            if let Place::Override(name) = place {
                group = group.element(Level::NOTE.message(format!("{name}: {label}")));
            }
        }
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }

    fn snippet<'a>(&'a self, problem: &'a Problem) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let Place::Span(span) = &problem.place else { return None };
        let mut snippet = Snippet::source(&self.text)
            .path(self.path.to_string_lossy())
            .annotation(AnnotationKind::Primary.span(self.within(span)));
        for (place, label) in &problem.also {
            if let Place::Span(span) = place {
                snippet = snippet.annotation(AnnotationKind::Context.span(self.within(span)).label(label));
            }
        }
        Some(snippet)
    }

    /// The span, cut to its first line: a caret under a whole table helps nobody.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let end = span.end.clamp(start, self.text.len());
        let first_line = self.text.get(start..end).and_then(|text| text.find('\n'));
        start..first_line.map_or(end, |length| start + length)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.list).finish()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// What looks like a secret: the rest of the line after `password =`, and hexadecimal that is given to `key`.
static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let password = r#"\bpassword["']?\s*=\s*["']?(?P<password>[^\n]+)"#;
    let key = r#"\b(?:authentication_)?key["']?\s*=\s*["']{0,3}(?P<key>[0-9A-Fa-f]{8,})"#;
    Regex::new(&format!("{password}|{key}")).ok()
});

/// Blots secrets out, but not the names of the places where they are kept.
fn blot_secrets(text: &str) -> String {
    let mut blotted = text.to_owned();
    let Some(pattern) = SECRET.as_ref() else { return String::new() };
    for found in pattern.captures_iter(text) {
        let Some(secret) = found.name("password").or(found.name("key")) else { continue };
        let named = ["file:", "env:", "credential:"].iter().any(|prefix| secret.as_str().starts_with(prefix));
        if !named {
            blotted.replace_range(secret.range(), &"*".repeat(secret.len()));
        }
    }
    blotted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blotted_out_and_names_of_secrets_are_not() {
        let text = "password = \"hünter2\"\nkey = 'file:a.key'\nauthentication_key = \"aabbccdd11223344\"\nx = { password = p4ss, key = \"00112233445566778899aabbccddeeff\" }\n";
        let blotted = blot_secrets(text);
        assert_eq!(blotted.len(), text.len());
        for secret in ["nter2", "p4ss", "00112233", "aabbccdd"] {
            assert!(!blotted.contains(secret), "{blotted}");
        }
        assert!(blotted.contains("file:a.key"));
    }

    #[test]
    fn line_and_column_count_characters_from_one() {
        let text = "a = 1\nä = 2\n";
        let problem = Problem::error("ä", Place::Span(11..12), "wrong");
        let problems = Problems::new(Path::new("x.toml"), text, vec![problem]);
        let json = problems.to_json();
        assert_eq!((&json[0]["line"], &json[0]["column"]), (&json!(2), &json!(5)));
    }
}
