//! The shipped configurations load, state the program's own defaults, and the documentation names every key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tidegate::config::{self, Config, Overrides, Severity};
use tidegate::limits::Limits;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Loads a text as if it lay beside the default configuration; nothing but absent ports may be amiss.
#[track_caller]
fn load(text: &str, path: &Path) -> Config {
    let loaded = match config::parse(text, path, &Overrides::default()) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{problems}"),
    };
    for warning in loaded.warnings.list() {
        assert!(warning.message.contains("is not there now"), "{}", loaded.warnings);
        assert_eq!(warning.severity, Severity::Warning);
    }
    loaded.config
}

#[test]
fn the_default_configuration_states_the_defaults_of_the_program() {
    let path = root().join("config/tidegate.toml");
    let stated = load(&fs::read_to_string(&path).unwrap(), &path);
    assert_eq!(stated, load("", &path));
    assert_eq!(stated.limits, Limits::default());
}

#[test]
fn the_default_configuration_states_every_limit() {
    let text = fs::read_to_string(root().join("config/tidegate.toml")).unwrap();
    for line in format!("{:#?}", Limits::default()).lines().filter(|line| line.contains(':')) {
        let (name, value) = line.trim().trim_end_matches(',').split_once(": ").unwrap();
        let stated = format!("\n{name} = {}", value.replace('_', ""));
        assert!(text.contains(&stated), "config/tidegate.toml does not say {}", stated.trim());
    }
}

#[test]
fn the_commented_examples_of_the_default_configuration_are_right() {
    let path = root().join("config/tidegate.toml");
    let text = fs::read_to_string(&path).unwrap();
    let is_example = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    };
    let mut uncommented = Vec::new();
    for line in text.lines() {
        let line = if is_example(line) { &line[1..] } else { line };
        // An example takes the place of the default that it precedes or follows.
        let key = line.split(" = ").next().unwrap();
        let stands = uncommented.iter().rev().take_while(|line: &&String| !line.starts_with('['));
        if !line.contains(" = ") || !stands.clone().any(|other| other.split(" = ").next() == Some(key)) {
            uncommented.push(line.to_owned());
        }
    }
    let config = load(&uncommented.join("\n"), &path);
    assert_eq!(config.sensors.len(), 2);
    assert_eq!(config.uplinks.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:1883");
}

#[test]
fn the_examples_load() {
    let examples: Vec<PathBuf> =
        fs::read_dir(root().join("config/examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(examples.len() >= 5);
    for path in examples {
        let config = load(&fs::read_to_string(&path).unwrap(), &path);
        assert_ne!(config, load("", &path), "{} says nothing", path.display());
    }
}

/// Writes the reference anew with `TIDEGATE_WRITE_REFERENCE=1 cargo test --test configuration`.
#[test]
fn the_documentation_has_the_reference_of_the_schema() {
    const BEGIN: &str = "<!-- reference: written by tests/configuration.rs -->\n";
    const END: &str = "<!-- end of the reference -->\n";
    let path = root().join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", config::reference());
    if std::env::var_os("TIDEGATE_WRITE_REFERENCE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == expected,
        "docs/configuration.md is not what the schema says"
    );
}

proptest! {
    /// Whatever a file says, it is read or its problems are shown; the program does not fall over it.
    #[test]
    fn a_garbled_configuration_gets_a_report(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, "[\\[\\]{}=\"'#,.\\n a1é☂-]{0,5}"), 1..8),
        example in 0_usize..3,
    ) {
        let texts = [
            include_str!("../config/tidegate.toml").replace("\n#", "\n"),
            include_str!("../config/examples/relay-and-rename.toml").to_owned(),
            "[uplink.c]\nurl = 'mqtt://h'\npassword = 'grüße'\n[sensor.s]\nserial = '/dev/null'\nprofile = 'csv'\n".to_owned(),
        ];
        let mut characters: Vec<char> = texts[example].chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(characters.len() + 1);
            let end = characters.len().min(at + removed);
            characters.splice(at..end, inserted.chars());
        }
        let text: String = characters.into_iter().collect();
        if let Err(problems) = config::parse(&text, Path::new("/nowhere/x.toml"), &Overrides::default()) {
            prop_assert!(problems.has_errors());
            prop_assert!(!problems.render(true).is_empty());
            for problem in problems.to_json().as_array().unwrap() {
                let line = usize::try_from(problem["line"].as_u64().unwrap()).unwrap();
                prop_assert!(line >= 1 && line <= text.matches('\n').count() + 1);
            }
        }
    }
}
