//! The reference of every key, in Markdown, from the schema: a part of `docs/configuration.md`.

use std::fmt::Write as _;

use super::check::join;
use super::kind::Kind;
use super::schema::{Key, ROOT, Table};

/// The reference as it must stand in `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for key in ROOT.keys {
        let (header, table) = match &key.kind {
            Kind::Table(table) => (format!("[{}]", key.name), table),
            Kind::Tables(table) => (format!("[[{}]]", key.name), table),
            Kind::Named(table) => (format!("[{}.NAME]", key.name), table),
            _ => continue,
        };
        section(&mut text, &header, key, table);
    }
    text
}

fn section(text: &mut String, header: &str, key: &Key, table: &Table) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "### `{header}`\n\n{}", key.about);
    if !key.default.is_empty() {
        let _ = writeln!(text, "Default: {}.", key.default);
    }
    let _ = writeln!(text, "\n| key | value | default | what it is for |\n|---|---|---|---|");
    rows(text, "", table);
    let _ = writeln!(text);
}

fn rows(text: &mut String, path: &str, table: &Table) {
    for key in table.keys {
        let path = join(path, key.name);
        let _ = writeln!(text, "| `{path}` | {} | {} | {} |", value(&key.kind), key.default, key.about);
        if let Kind::Table(inner) | Kind::Rules(inner) = &key.kind {
            rows(text, &path, inner);
        }
    }
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Text(notation) => notation.name.to_owned(),
        Kind::Choice(choices) => {
            choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>().join(" ")
        }
        Kind::Switch => "`true` `false`".to_owned(),
        Kind::Number(low, high) => format!("{low} to {high}"),
        Kind::Size(..) => "size".to_owned(),
        Kind::Duration => "duration".to_owned(),
        Kind::OneOrMore(notation) => format!("{0}, or list of {0}s", notation.name),
        Kind::Texts(notation) => format!("list of {}s", notation.name),
        Kind::Map(notation) => format!("table from names to {}s", notation.name),
        Kind::Table(_) => "table".to_owned(),
        Kind::Tables(_) => "tables".to_owned(),
        Kind::Named(_) => "tables with names".to_owned(),
        Kind::Rules(_) => "list of topic filters, or of tables".to_owned(),
    }
}
