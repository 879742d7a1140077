//! Compares the tree with the schema: unknown keys, wrong types, values out of range.
//!
//! What several keys say together is judged in [`super::meaning`].

use super::kind::{self, Kind, Notation};
use super::report::Problem;
use super::schema::{Key, Table as Schema};
use super::tree::{Entry, Node, Table, Value};
use crate::device::nearest;

/// Reports every key that the schema does not know and every value that does not fit its key.
pub(super) fn check(table: &Table, schema: &'static Schema, problems: &mut Vec<Problem>) {
    check_table(table, schema, "", problems);
}

fn check_table(table: &Table, schema: &'static Schema, path: &str, problems: &mut Vec<Problem>) {
    for entry in &table.entries {
        let path = join(path, &entry.key);
        match schema.key(&entry.key) {
            Some(key) => check_value(&entry.node, key, &path, problems),
            None => problems.push(unknown(entry, schema, path)),
        }
    }
}

fn unknown(entry: &Entry, schema: &'static Schema, path: String) -> Problem {
    let problem = Problem::error(path, entry.key_place.clone(), format!("unknown key `{}`", entry.key));
    match nearest(&entry.key, schema.names()) {
        Some(name) => problem.help(format!("did you mean `{name}`?")),
        None => {
            let names: Vec<&str> = schema.names().collect();
            problem.help(format!("the keys here are {}", names.join(", ")))
        }
    }
}

fn check_value(node: &Node, key: &'static Key, path: &str, problems: &mut Vec<Problem>) {
    match (&key.kind, &node.value) {
        (Kind::Text(notation), Value::Text(text)) => problems.extend(check_text(node, text, notation, path)),
        (Kind::Choice(choices), Value::Text(text)) => {
            problems.extend(check_choice(node, text, choices, path))
        }
        (Kind::Switch, Value::Switch(_)) => {}
        (Kind::Number(low, high), Value::Integer(number)) => {
            problems.extend(check_range(node, *number, (*low, *high), path));
        }
        (Kind::Size(low, high), Value::Integer(number)) => {
            problems.extend(check_range(node, *number, (*low, *high), path));
        }
        (Kind::Size(low, high), Value::Text(text)) => match kind::size(text) {
            Ok(bytes) => problems.extend(check_range(node, i128::from(bytes), (*low, *high), path)),
            Err(expected) => problems.push(wrong(node, path, format!("{text:?} is no size")).help(expected)),
        },
        (Kind::Duration, Value::Text(text)) => match kind::duration(text) {
            Ok(duration) if !duration.is_zero() => {}
            Ok(_) => problems.push(wrong(node, path, "it must be longer than nothing")),
            Err(expected) => {
                problems.push(wrong(node, path, format!("{text:?} is no duration")).help(expected))
            }
        },
        (Kind::OneOrMore(notation), Value::Text(text)) => {
            problems.extend(check_text(node, text, notation, path));
        }
        (Kind::OneOrMore(_), Value::List(nodes)) if nodes.is_empty() => {
            problems.push(wrong(node, path, "the list is empty"));
        }
        (Kind::Texts(notation) | Kind::OneOrMore(notation), Value::List(nodes)) => {
            for node in nodes {
                problems.extend(check_element(node, notation, path));
            }
        }
        (Kind::Map(notation), Value::Table(table)) => {
            for entry in &table.entries {
                problems.extend(check_element(&entry.node, notation, &join(path, &entry.key)));
            }
        }
        (Kind::Table(schema), Value::Table(table)) => check_table(table, schema, path, problems),
        (Kind::Tables(schema), Value::List(nodes)) => {
            for (index, node) in nodes.iter().enumerate() {
                check_member(node, schema, &join(path, &(index + 1).to_string()), problems);
            }
        }
        (Kind::Named(schema), Value::Table(table)) => {
            for entry in &table.entries {
                check_named(entry, schema, path, problems);
            }
        }
        (Kind::Rules(schema), Value::List(nodes)) => check_rules(nodes, schema, path, problems),
        (kind, value) => problems.push(wrong_type(node, kind, value, path)),
    }
}

fn check_named(entry: &Entry, schema: &'static Schema, path: &str, problems: &mut Vec<Problem>) {
    let path = join(path, &entry.key);
    if let Err(why) = kind::name(&entry.key) {
        let message = format!("{:?} is no name: {why}", entry.key);
        problems.push(Problem::error(path.clone(), entry.key_place.clone(), message));
    }
    if entry.node.as_table().is_none() {
        let message = format!("`{}` is no key of its own, but the name of a table", entry.key);
        let header = format!("begin it with a line [{path}]");
        problems.push(Problem::error(path, entry.key_place.clone(), message).help(header));
        return;
    }
    check_member(&entry.node, schema, &path, problems);
}

fn check_member(node: &Node, schema: &'static Schema, path: &str, problems: &mut Vec<Problem>) {
    match node.as_table() {
        Some(table) => check_table(table, schema, path, problems),
        None => problems.push(wrong(node, path, format!("expected a table, found {}", node.value.kind()))),
    }
}

fn check_rules(nodes: &[Node], schema: &'static Schema, path: &str, problems: &mut Vec<Problem>) {
    let Some(first) = schema.keys.first() else { return };
    for (index, node) in nodes.iter().enumerate() {
        let path = join(path, &(index + 1).to_string());
        match &node.value {
            Value::Table(table) => check_table(table, schema, &path, problems),
            Value::Text(_) => check_value(node, first, &path, problems),
            other => {
                let message = format!("expected a text or a table, found {}", other.kind());
                problems.push(wrong(node, &path, message));
            }
        }
    }
}

fn check_element(node: &Node, notation: &'static Notation, path: &str) -> Option<Problem> {
    match &node.value {
        Value::Text(text) => check_text(node, text, notation, path),
        other => {
            Some(wrong(node, path, format!("expected a {} in quotes, found {}", notation.name, other.kind())))
        }
    }
}

fn check_text(node: &Node, text: &str, notation: &Notation, path: &str) -> Option<Problem> {
    let why = (notation.check)(text).err()?;
    let message = match notation.secret {
        true => format!("this is no {}: {why}", notation.name),
        false => format!("{text:?} is no {}: {why}", notation.name),
    };
    Some(wrong(node, path, message))
}

fn check_choice(node: &Node, text: &str, choices: &[&'static str], path: &str) -> Option<Problem> {
    if choices.contains(&text) {
        return None;
    }
    let problem = wrong(node, path, format!("{text:?} is none of {}", quoted(choices)));
    Some(match nearest(text, choices.iter().copied()) {
        Some(choice) => problem.help(format!("did you mean \"{choice}\"?")),
        None => problem,
    })
}

fn check_range(node: &Node, number: i128, (low, high): (u64, u64), path: &str) -> Option<Problem> {
    let within = (i128::from(low)..=i128::from(high)).contains(&number);
    (!within).then(|| wrong(node, path, format!("{number} is out of range: {low} to {high}")))
}

fn wrong_type(node: &Node, kind: &Kind, value: &Value, path: &str) -> Problem {
    let (expected, help) = match kind {
        Kind::Text(notation) => ("a text in quotes".to_owned(), format!("for example {}", notation.example)),
        Kind::Choice(choices) => ("a text in quotes".to_owned(), format!("one of {}", quoted(choices))),
        Kind::Switch => ("true or false".to_owned(), "without quotes".to_owned()),
        Kind::Number(low, high) => {
            (format!("a whole number from {low} to {high}"), "without quotes and decimal point".to_owned())
        }
        Kind::Size(..) => {
            ("a size".to_owned(), "for example \"64MiB\", or bytes as a whole number".to_owned())
        }
        Kind::Duration => ("a duration in quotes".to_owned(), "for example \"30d\"".to_owned()),
        Kind::OneOrMore(notation) => {
            ("a text in quotes, or a list of them".to_owned(), format!("for example {}", notation.example))
        }
        Kind::Texts(notation) => {
            ("a list of texts".to_owned(), format!("for example [{}]", notation.example))
        }
        Kind::Map(notation) => {
            ("a table of texts".to_owned(), format!("for example {{ T = {} }}", notation.example))
        }
        Kind::Table(_) => ("a table".to_owned(), format!("begin it with a line [{path}]")),
        Kind::Tables(_) => {
            ("a table in double brackets".to_owned(), format!("begin it with a line [[{path}]]"))
        }
        Kind::Named(_) => ("a table with a name".to_owned(), format!("begin it with a line [{path}.NAME]")),
        Kind::Rules(_) => ("a list of texts or tables".to_owned(), "for example [\"tidegate/#\"]".to_owned()),
    };
    wrong(node, path, format!("expected {expected}, found {}", value.kind())).help(help)
}

fn quoted(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
    quoted.join(", ")
}

fn wrong(node: &Node, path: &str, message: impl Into<String>) -> Problem {
    Problem::error(path, node.place.clone(), message)
}

/// The path of a key inside the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
