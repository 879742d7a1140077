//! Values given outside of the file: `TIDEGATE_*` environment variables, and `--set KEY=VALUE`.
//!
//! The variable of a key is `TIDEGATE_` and the key's path in capitals, everything but letters and digits as `_`:
//! `uplink.cloud.password` is `TIDEGATE_UPLINK_CLOUD_PASSWORD`. Listeners and access rules are counted from 1:
//! `TIDEGATE_LISTENER_1_ADDRESS`. A sensor or an uplink must have its table in the file. Lists are written with
//! commas or as TOML. `--set` wins over the environment, the environment over the file.

use super::check::join;
use super::kind::Kind;
use super::report::{Place, Problem};
use super::schema::{ROOT, Table as Schema};
use super::tree::{self, Node, Step, Table, Value};
use crate::device::nearest;

const PREFIX: &str = "TIDEGATE_";

/// What was said outside of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Environment variables, of which those that begin with `TIDEGATE_` are read.
    pub environment: Vec<(String, String)>,
    /// `KEY=VALUE`
    pub settings: Vec<String>,
}

impl Overrides {
    /// The environment of this process, and what `--set` said.
    #[must_use]
    pub fn of_process(settings: Vec<String>) -> Overrides {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        Overrides { environment, settings }
    }

    /// Puts them into the tree.
    pub(super) fn apply(&self, table: &mut Table, problems: &mut Vec<Problem>) {
        for (name, value) in &self.environment {
            if name.starts_with(PREFIX) {
                let place = tree::override_place(name);
                let known = candidates(table);
                let matching = known.iter().filter(|candidate| variable(&candidate.path) == *name);
                match matching.collect::<Vec<_>>().as_slice() {
                    [candidate] => candidate.put(table, &place, value),
                    [] => problems.extend(unknown_variable(name, place, &known)),
                    [one, other, ..] => {
                        let message = format!("it could mean {} or {}", one.path, other.path);
                        problems.push(Problem::error(&one.path, place, message));
                    }
                }
            }
        }
        for setting in &self.settings {
            let place = tree::override_place(&format!("--set {}", setting.split('=').next().unwrap_or("")));
            let Some((path, value)) = setting.split_once('=') else {
                problems.push(Problem::error("", place, "it is written --set KEY=VALUE"));
                continue;
            };
            let known = candidates(table);
            match known.iter().find(|candidate| candidate.path == path.trim()) {
                Some(candidate) => candidate.put(table, &place, value.trim()),
                None => problems.push(unknown_setting(path, place, &known)),
            }
        }
    }
}

/// A key that may be overridden in this file.
struct Candidate {
    /// `uplink.cloud.url`, `listener.1.address`
    path: String,
    steps: Vec<Step>,
    kind: &'static Kind,
}

impl Candidate {
    fn put(&self, table: &mut Table, place: &Place, text: &str) {
        table.put(&self.steps, place, value_of(self.kind, text, place));
    }
}

/// Every key that may be overridden: those of the schema, for the sensors, uplinks and listeners that are there.
fn candidates(table: &Table) -> Vec<Candidate> {
    let mut found = Vec::new();
    collect(Some(table), &ROOT, "", &[], &mut found);
    found
}

fn collect(
    table: Option<&Table>,
    schema: &'static Schema,
    path: &str,
    steps: &[Step],
    found: &mut Vec<Candidate>,
) {
    for key in schema.all_keys() {
        let node = table.and_then(|table| table.get(key.name));
        let path = join(path, key.name);
        let steps = with(steps, Step::Key(key.name.to_owned()));
        match &key.kind {
            Kind::Table(schema) => collect(node.and_then(Node::as_table), schema, &path, &steps, found),
            Kind::Tables(schema) => {
                let elements = node.map_or(&[][..], Node::elements);
                for at in 0..elements.len().max(1) {
                    let table = elements.get(at).and_then(Node::as_table);
                    let path = join(&path, &(at + 1).to_string());
                    collect(table, schema, &path, &with(&steps, Step::Element(at)), found);
                }
            }
            Kind::Named(schema) => {
                for entry in node.and_then(Node::as_table).map_or(&[][..], |table| &table.entries) {
                    let steps = with(&steps, Step::Key(entry.key.clone()));
                    collect(entry.node.as_table(), schema, &join(&path, &entry.key), &steps, found);
                }
            }
            kind => found.push(Candidate { path, steps, kind }),
        }
    }
}

fn with(steps: &[Step], step: Step) -> Vec<Step> {
    let mut steps = steps.to_vec();
    steps.push(step);
    steps
}

/// The environment variable of a key.
pub(super) fn variable(path: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{PREFIX}{}", path.chars().map(word).collect::<String>())
}

fn value_of(kind: &Kind, text: &str, place: &Place) -> Value {
    match kind {
        Kind::Text(_) | Kind::Choice(_) | Kind::Duration | Kind::Size(..) => Value::Text(text.to_owned()),
        Kind::OneOrMore(_) if !text.starts_with('[') && !text.contains(',') => Value::Text(text.to_owned()),
        Kind::OneOrMore(_) | Kind::Texts(_) | Kind::Rules(_) if !text.starts_with('[') => {
            let element =
                |text: &str| Node { place: place.clone(), value: Value::Text(text.trim().to_owned()) };
            Value::List(text.split(',').filter(|text| !text.trim().is_empty()).map(element).collect())
        }
        _ => tree::parse_value(text, place),
    }
}

/// A variable that looks like that of a key. Others of the prefix are not ours to judge: `TIDEGATE_LOG`.
fn unknown_variable(name: &str, place: Place, known: &[Candidate]) -> Option<Problem> {
    let variables: Vec<String> = known.iter().map(|candidate| variable(&candidate.path)).collect();
    let near = nearest(name, variables.iter().map(String::as_str));
    let of_a_table = ROOT.names().any(|table| name.starts_with(&format!("{}_", variable(table))));
    if near.is_none() && !of_a_table {
        return None;
    }
    let problem = Problem::warning("", place, "no key of this file has such a variable");
    Some(match near {
        Some(variable) => problem.help(format!("did you mean {variable}?")),
        None => problem,
    })
}

fn unknown_setting(path: &str, place: Place, known: &[Candidate]) -> Problem {
    let problem = Problem::error(path, place, format!("unknown key `{path}`"));
    match nearest(path, known.iter().map(|candidate| candidate.path.as_str())) {
        Some(path) => problem.help(format!("did you mean `{path}`?")),
        None => problem.help("a key is written with its path, as in uplink.cloud.url"),
    }
}
