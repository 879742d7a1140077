//! The table of statements: every number of both standards has its tests, or one of three reasons, and all of that is
//! true. Never runs a test itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

const TABLE: &str = include_str!("../statements.toml");
const NUMBERS: [(&str, &str); 2] =
    [("5.0", include_str!("../numbers-5.0.txt")), ("3.1.1", include_str!("../numbers-3.1.1.txt"))];
/// Where the tests of a table entry are: the beginning of its name, and the folder of its modules.
const HOMES: [(&str, &str); 8] = [
    ("bridge::", "src/bridge"),
    ("conformance::", "tests/conformance/broker"),
    ("codec::", "tests/conformance/codec"),
    ("end_to_end::", "tests/end_to_end"),
    ("broker::tests::", "src/broker/tests"),
    ("flow::", "src/flow"),
    ("stream::", "src/stream"),
    ("net::", "src/net"),
];

/// What a statement has: some tests, or a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The tests that prove it.
    #[serde(default)]
    tests: Vec<String>,
    /// Reason: the standard lays it upon clients, and the gateway as a broker is none.
    #[serde(default)]
    binds_the_client_only: bool,
    /// Reason: it is about a feature that is not offered; the tests show how it is refused.
    #[serde(default)]
    not_offered: bool,
    /// Reason: another number says the same or more.
    covered_by: Option<String>,
}

type Table = BTreeMap<String, BTreeMap<String, Entry>>;

fn table() -> Table {
    toml::from_str(TABLE).expect("the table is sound TOML")
}

fn numbers(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn every_statement_is_in_the_table_once() {
    let table = table();
    assert_eq!(numbers(NUMBERS[0].1).len(), 251);
    assert_eq!(numbers(NUMBERS[1].1).len(), 134);
    for (standard, text) in NUMBERS {
        let listed: BTreeSet<&str> = table[standard].keys().map(String::as_str).collect();
        let wanted = numbers(text);
        let missing: Vec<_> = wanted.difference(&listed).collect();
        let unknown: Vec<_> = listed.difference(&wanted).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{standard}: missing {missing:?}, unknown {unknown:?}"
        );
    }
}

#[test]
fn every_statement_has_tests_or_one_reason() {
    for (standard, entries) in table() {
        for (number, entry) in &entries {
            let reasons = usize::from(entry.binds_the_client_only)
                + usize::from(entry.not_offered)
                + usize::from(entry.covered_by.is_some());
            let has_tests = !entry.tests.is_empty();
            let is_sound = match (reasons, has_tests) {
                (0, true) | (1, false) => !entry.not_offered,
                (1, true) => entry.not_offered,
                _ => false,
            };
            assert!(is_sound, "{standard} {number}: tests, or one reason: {entry:?}");
            if let Some(other) = &entry.covered_by {
                let covers = entries.get(other).is_some_and(|other| !other.tests.is_empty());
                assert!(covers, "{standard} {number}: {other} has no tests");
            }
        }
    }
}

/// The source of each module that was looked at.
#[derive(Default)]
struct Sources(BTreeMap<String, String>);

impl Sources {
    /// The doc comment of a test and its body; `None` when there is no such test.
    fn test(&mut self, name: &str) -> Option<String> {
        let (home, folder) =
            HOMES.iter().find_map(|(prefix, folder)| Some((name.strip_prefix(prefix)?, folder)))?;
        let (module, test) = home.rsplit_once("::")?;
        let path = format!("{folder}/{}.rs", module.replace("::", "/"));
        let source = self.0.entry(path.clone()).or_insert_with(|| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
            std::fs::read_to_string(path).unwrap_or_default()
        });
        let at = source.find(&format!("fn {test}("))?;
        let before = &source[..at];
        let start = before.rfind("\n}\n").or_else(|| before.rfind("\n\n")).unwrap_or(0);
        (before[start..].contains("test]") || before[start..].contains("test(")).then_some(())?;
        let end = source[at..].find("\n}\n").map_or(source.len(), |length| at + length);
        Some(source[start..end].to_owned())
    }
}

#[test]
fn every_named_test_exists_and_names_the_statement() {
    let mut sources = Sources::default();
    for (standard, entries) in table() {
        for (number, entry) in &entries {
            for name in &entry.tests {
                let Some(text) = sources.test(name) else {
                    panic!("{standard} {number}: there is no test {name}");
                };
                // Numbers of 3.1.1 have other meanings: there the table alone says which test proves what.
                let is_ours = name.starts_with("conformance::") || name.starts_with("broker::");
                let is_named = standard != "5.0" || !is_ours || text.contains(number.as_str());
                assert!(is_named, "{number}: {name} does not name it");
            }
        }
    }
}

/// A number in the source that no standard has was written from memory, wrongly.
#[test]
fn every_number_in_the_source_is_one() {
    let known: BTreeSet<&str> = NUMBERS.iter().flat_map(|(_, text)| numbers(text)).collect();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for piece in text.split("[MQTT-").skip(1) {
                    let number = piece.split(']').next().unwrap_or_default();
                    // 3.1.1 itself writes this one so.
                    let is_known = known.contains(format!("MQTT-{number}").as_str()) || number == "3-8.3-4";
                    assert!(is_known, "{}: MQTT-{number}", path.display());
                }
            }
        }
    }
}
