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
        let default = match key.default {
            "" => String::new(),
            plain if plain.contains(' ') && !plain.starts_with('[') => plain.to_owned(),
            plain if plain.contains('`') => plain.to_owned(),
            plain => format!("`{plain}`"),
        };
        let _ = writeln!(text, "| `{path}` | {} | {default} | {} |", value(&key.kind), key.about);
        if let Kind::Table(inner) | Kind::Rules(inner) = &key.kind {
            rows(text, &path, inner);
        }
    }
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Text(notation) => format!("{}, `{}`", notation.name, notation.example),
        Kind::Choice(choices) => {
            choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>().join(" ")
        }
        Kind::Switch => "`true` or `false`".to_owned(),
        Kind::Number(low, high) => format!("{low} to {high}"),
        Kind::Size(..) => "bytes, `1048576` or `\"1MiB\"`".to_owned(),
        Kind::Duration => "duration, `\"30d\"`".to_owned(),
        Kind::Texts(notation) => format!("list, `[{}]`", notation.example),
        Kind::Map(notation) => format!("table, `{{ T = {} }}`", notation.example),
        Kind::Table(_) => "table".to_owned(),
        Kind::Tables(_) => "tables".to_owned(),
        Kind::Named(_) => "tables with names".to_owned(),
        Kind::Rules(_) => "list of topic filters or tables".to_owned(),
    }
}
