//! The configuration as a tree of values that know where they were written.
//!
//! Made from TOML text, then changed by the overrides of the environment and of the command line. It knows no key
//! and judges nothing: [`super::schema`] names the keys, [`super::check`] compares.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::join;
use super::report::{Place, Problem};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What may stand behind a key.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    /// A float or a date: no key takes one; kept to be shown.
    Other(&'static str),
    Switch(bool),
    List(Vec<Node>),
    Table(Table),
}

/// Keys in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Value {
    /// What kind of value this is, with its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Other(what) => what,
            Value::Switch(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Node {
    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub(super) fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements, if it is a list; none otherwise.
    pub(super) fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => &[],
        }
    }
}

impl Table {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The key and its value.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The place of every value, by its path.
    pub(super) fn places(&self) -> BTreeMap<String, Place> {
        let mut places = BTreeMap::new();
        self.note_places("", &mut places);
        places
    }

    fn note_places(&self, path: &str, places: &mut BTreeMap<String, Place>) {
        for entry in &self.entries {
            entry.node.note_places(join(path, &entry.key), places);
        }
    }

    /// Puts a value behind a path of keys, making tables and list elements on the way as they are needed. What
    /// stands in the way and is neither is replaced.
    pub(super) fn put(&mut self, path: &[Step], place: &Place, value: Value) {
        let [Step::Key(key), rest @ ..] = path else {
            unreachable!("a path of keys begins with a key: {path:?}");
        };
        let at = self.entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
            let node = Node { place: place.clone(), value: Value::Table(Table::default()) };
            self.entries.push(Entry { key: key.clone(), key_place: place.clone(), node });
            self.entries.len() - 1
        });
        if let Some(entry) = self.entries.get_mut(at) {
            entry.node.put(rest, place, value);
        }
    }
}

impl Node {
    fn note_places(&self, path: String, places: &mut BTreeMap<String, Place>) {
        match &self.value {
            Value::Table(table) => table.note_places(&path, places),
            Value::List(nodes) => {
                for (at, node) in nodes.iter().enumerate() {
                    node.note_places(join(&path, &(at + 1).to_string()), places);
                }
            }
            _ => {}
        }
        places.insert(path, self.place.clone());
    }

    fn put(&mut self, path: &[Step], place: &Place, value: Value) {
        match path {
            [] => *self = Node { place: place.clone(), value },
            [Step::Key(_), ..] => {
                if self.as_table().is_none() {
                    self.value = Value::Table(Table::default());
                }
                if let Value::Table(table) = &mut self.value {
                    table.put(path, place, value);
                }
            }
            [Step::Element(at), rest @ ..] => {
                if !matches!(self.value, Value::List(_)) {
                    self.value = Value::List(Vec::new());
                }
                if let Value::List(nodes) = &mut self.value {
                    if nodes.len() <= *at {
                        let node = Node { place: place.clone(), value: Value::Table(Table::default()) };
                        nodes.push(node);
                    }
                    if let Some(node) = nodes.get_mut(*at) {
                        node.put(rest, place, value);
                    }
                }
            }
        }
    }
}

/// One step from a table to a value inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, counted from 0.
    Element(usize),
}

/// Reads TOML text as far as it can be read, and reports everything that is not TOML.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let mut problem = Problem::error("", Place::Span(span.clone()), explain(error.message()));
        if let Some(help) = help(error.message(), text, &span) {
            problem = problem.help(help);
        }
        problems.push(problem);
    }
    table_of(table.get_ref())
}

fn explain(message: &str) -> String {
    format!("this is not TOML: {message}")
}

/// What was probably meant, for the mistakes that beginners make. Never repeats the text: it may be a secret.
fn help(message: &str, text: &str, span: &Range<usize>) -> Option<&'static str> {
    if message.contains("duplicate key") {
        return Some("a key may stand once in its table: keep one of the two");
    }
    if !message.contains("string values must be quoted") {
        return None;
    }
    let rest = text.get(span.start..)?.lines().next().unwrap_or_default();
    Some(match rest.trim().is_empty() {
        true => "the value is missing",
        false => "texts stand in quotes: \"like this\"",
    })
}

fn table_of(table: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, node)| Entry {
            key: key.get_ref().to_string(),
            key_place: Place::Span(key.span()),
            node: node_of(node),
        })
        .collect();
    entries.sort_by_key(|entry| match &entry.key_place {
        Place::Span(span) => span.start,
        _ => 0,
    });
    Table { entries }
}

fn node_of(node: &Spanned<DeValue<'_>>) -> Node {
    let value = match node.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("an enormous number"),
        },
        DeValue::Float(_) => Value::Other("a number with a decimal point"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Array(nodes) => Value::List(nodes.iter().map(node_of).collect()),
        DeValue::Table(table) => Value::Table(table_of(table)),
    };
    Node { place: Place::Span(node.span()), value }
}

/// Reads one value as TOML, as an override gives it; text that is no TOML value stays text.
pub(super) fn parse_value(text: &str, place: &Place) -> Value {
    let Ok(node) = DeValue::parse(text) else {
        return Value::Text(text.to_owned());
    };
    let mut node = node_of(&node);
    settle(&mut node, place);
    node.value
}

/// Gives every value inside the place of the override: its own spans mean another text.
fn settle(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::List(nodes) => nodes.iter_mut().for_each(|node| settle(node, place)),
        Value::Table(table) => {
            for entry in &mut table.entries {
                entry.key_place = place.clone();
                settle(&mut entry.node, place);
            }
        }
        Value::Text(_) | Value::Integer(_) | Value::Other(_) | Value::Switch(_) => {}
    }
}

/// The text of an override, shared by all values made from it.
pub(super) fn override_place(name: &str) -> Place {
    Place::Override(Arc::from(name))
}
