//! What the configuration can say and this version cannot do yet. To make something available, delete its line.
//!
//! What keeps others out or secrets in is an error: the gateway does not start without it. The rest is a warning:
//! it is left out, and everything else runs.

use super::report::{Problem, Severity};
use super::tree::{Node, Table, Value};

/// One thing that is not built yet.
struct Unavailable {
    /// The key; `*` stands for any name or number.
    path: &'static str,
    /// With which values.
    when: When,
    severity: Severity,
    what: &'static str,
}

/// For which values of a key.
enum When {
    Text(&'static str),
}

const fn warning(path: &'static str, when: When, what: &'static str) -> Unavailable {
    Unavailable { path, when, severity: Severity::Warning, what }
}

#[rustfmt::skip]
const LIST: &[Unavailable] = &[
    warning("uplink.*.durability", When::Text("either"), "forwarding before the disk"),
];

/// Reports what the file says and this version cannot do.
pub(super) fn check(table: &Table, problems: &mut Vec<Problem>) {
    for unavailable in LIST {
        let steps: Vec<&str> = unavailable.path.split('.').collect();
        find(table, &steps, String::new(), &mut |node, path| {
            if unavailable.when.applies(node) {
                problems.push(unavailable.problem(node, path));
            }
        });
    }
}

impl Unavailable {
    fn problem(&self, node: &Node, path: String) -> Problem {
        let message = format!("not available in this version yet: {}", self.what);
        match self.severity {
            Severity::Error => Problem::error(path, node.place.clone(), message)
                .help("the gateway does not start rather than run without it"),
            Severity::Warning => Problem::warning(path, node.place.clone(), message)
                .help("it is left out; everything else runs"),
        }
    }
}

impl When {
    fn applies(&self, node: &Node) -> bool {
        match self {
            When::Text(text) => node.as_text() == Some(text),
        }
    }
}

/// Calls `found` with every node at the path.
fn find(table: &Table, steps: &[&str], path: String, found: &mut impl FnMut(&Node, String)) {
    let [step, rest @ ..] = steps else { return };
    for entry in table.entries.iter().filter(|entry| *step == "*" || entry.key == *step) {
        step_into(&entry.node, rest, super::check::join(&path, &entry.key), found);
    }
}

fn step_into(node: &Node, steps: &[&str], path: String, found: &mut impl FnMut(&Node, String)) {
    match (&node.value, steps) {
        (_, []) => found(node, path),
        (Value::Table(table), _) => find(table, steps, path, found),
        (Value::List(nodes), ["*", rest @ ..]) => {
            for (at, node) in nodes.iter().enumerate() {
                step_into(node, rest, super::check::join(&path, &(at + 1).to_string()), found);
            }
        }
        _ => {}
    }
}
