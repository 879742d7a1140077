//! The house stays as drawn: floors, sizes, purity and manners of the source, checked on its text.
//!
//! Reads files and judges them; never builds or runs anything. The drawing is the table in `src/lib.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Floor of every module directly under `src/`. A new room is added here and in `src/lib.rs`, nowhere else.
const FLOORS: [(u8, &[&str]); 4] = [
    (0, &["mqtt", "flow", "durable", "reading", "time", "limits"]),
    (1, &["broker", "device", "route", "bridge", "journal"]),
    (2, &["net", "stream", "adapter", "uplink", "users", "disk", "clock"]),
    (3, &["cli", "config", "gateway", "telemetry"]),
];

/// What the pure floors 0 and 1 must not reach: clocks, files, sockets, tasks, logs.
const IMPURE: [&str; 17] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdout",
    "std::io::stderr",
    "tokio",
    "tracing",
    "rustix",
    "socket2",
    "mio",
    "rumqttc",
    "rustls",
    "tokio_rustls",
];
const PRINTING: [&str; 5] = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];

const FILE_LINES: usize = 600;
const MEDIAN_FILE_LINES: usize = 200;
const FUNCTION_LINES: usize = 70;

#[test]
fn imports_go_down_and_siblings_of_floor_1_do_not_meet() {
    let mut complaints = Complaints::default();
    for source in sources() {
        let Some(own) = source.module() else { continue };
        let Some(own_floor) = floor(&own) else {
            complaints.add(&source, 1, format!("module `{own}` stands on no floor of tests/tidy.rs"));
            continue;
        };
        for (line, path) in source.paths() {
            let Some(other) = path.strip_prefix("crate::").and_then(|rest| rest.split("::").next()) else {
                continue;
            };
            let Some(other_floor) = floor(other).filter(|_| other != own) else { continue };
            if other_floor > own_floor {
                complaints.add(
                    &source,
                    line,
                    format!("floor {own_floor} imports `{other}` of {other_floor}"),
                );
            }
            if other_floor == 1 && own_floor == 1 {
                complaints.add(&source, line, format!("`{own}` and `{other}` are siblings on floor 1"));
            }
        }
    }
    complaints.assert_none();
}

#[test]
fn the_pure_floors_reach_no_clock_file_socket_task_or_log() {
    let mut complaints = Complaints::default();
    for source in sources() {
        if source.module().and_then(|own| floor(&own)).is_none_or(|floor| floor > 1) {
            continue;
        }
        for (line, path) in source.paths() {
            let reaches = |impure: &&&str| path == **impure || path.starts_with(&format!("{impure}::"));
            if let Some(impure) = IMPURE.iter().find(reaches) {
                complaints.add(&source, line, format!("`{impure}` on a pure floor"));
            }
        }
        for (line, text) in numbered(&source.code) {
            for printing in PRINTING.iter().filter(|printing| has_word(text, printing)) {
                complaints.add(&source, line, format!("`{printing}` on a pure floor"));
            }
        }
    }
    complaints.assert_none();
}

#[test]
fn files_and_functions_are_small() {
    let mut complaints = Complaints::default();
    let mut sizes = Vec::new();
    for source in sources() {
        let lines = source.code.lines().count();
        sizes.push(lines);
        if lines > FILE_LINES {
            complaints.add(&source, lines, format!("{lines} lines without tests: is it one room, or two?"));
        }
        for (name, start, length) in functions(&source.code) {
            if length > FUNCTION_LINES {
                complaints.add(&source, start, format!("fn {name} has {length} lines"));
            }
        }
    }
    sizes.sort_unstable();
    let median = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
    assert!(median < MEDIAN_FILE_LINES, "the median file has {median} lines");
    complaints.assert_none();
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let mut complaints = Complaints::default();
    for path in files(&["src", "tests"]).iter().filter(|path| is_rust(path)) {
        let source = Source::read(path);
        if !source.text.starts_with("//!") {
            complaints.add(&source, 1, "does not begin with `//!`".into());
        }
    }
    complaints.assert_none();
}

#[test]
fn nothing_is_unfinished_switched_off_in_silence_or_tied_to_a_machine() {
    // Put together here so that this file does not accuse itself.
    let machine = ["/home/", "/root/", "/work/", "/Users/", "/tmp/bash"];
    let unfinished =
        [concat!("to", "do!"), concat!("unimplement", "ed!"), concat!("FIX", "ME"), concat!("XX", "X")];
    let silent_ignore = concat!("#[", "ignore]");
    let places = ["src", "tests", "config", "systemd", "hardware", "docs", ".ci"];
    let mut complaints = Complaints::default();
    for path in files(&places).into_iter().chain(top_level_texts()) {
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        let source = Source::read(&path);
        for (line, text) in numbered(&source.text) {
            for path in machine.iter().filter(|path| text.contains(**path)) {
                complaints.add(&source, line, format!("`{path}` is a path of some machine"));
            }
            for word in unfinished.iter().filter(|word| has_word(text, word)) {
                complaints.add(&source, line, format!("`{word}`"));
            }
            if text.contains(silent_ignore) {
                complaints.add(&source, line, "an ignored test says why: #[ignore = \"...\"]".into());
            }
        }
    }
    complaints.assert_none();
}

#[test]
fn the_readme_names_the_test_command_that_ci_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join(".ci/run")).expect(".ci/run is there");
    let command =
        script.lines().find_map(|line| line.strip_prefix("readme_test_command=")).expect("it names it");
    let command = command.trim_matches('"');
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md is there");
    assert!(readme.lines().any(|line| line.trim() == command), "README.md does not show `{command}`");
}

/// A text file and, for Rust, its code: comments and strings blanked, test modules cut.
struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap_or_default();
        let code = if is_rust(path) { without_tests(&blanked(&text)) } else { String::new() };
        Source { path: path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().into(), text, code }
    }

    /// The part of the house it belongs to: `broker` for `src/broker/session.rs`; none for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<String> {
        let first = self.path.strip_prefix("src").ok()?.components().next()?;
        let name = first.as_os_str().to_str()?.trim_end_matches(".rs");
        (name != "lib" && name != "main").then(|| name.to_owned())
    }

    /// Every path that the code names, with its line: `use` trees expanded, `super` resolved.
    fn paths(&self) -> Vec<(usize, String)> {
        let mut paths = Vec::new();
        for (at, tree) in use_trees(&self.code) {
            let mut leaves = Vec::new();
            expand("", &tree, &mut leaves);
            paths.extend(leaves.into_iter().map(|leaf| (line_of(&self.code, at), leaf)));
        }
        for (line, text) in numbered(&self.code) {
            let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            paths.extend(words.filter(|word| word.contains("::")).map(|word| (line, word.to_owned())));
        }
        paths.into_iter().map(|(line, path)| (line, self.resolved(&path))).collect()
    }

    fn resolved(&self, path: &str) -> String {
        let place = self.path.strip_prefix("src").unwrap_or(&self.path).with_extension("");
        let mut module: Vec<_> =
            place.iter().filter(|part| *part != "mod").map(|part| part.to_string_lossy()).collect();
        let mut rest = path;
        while let Some(after) = rest.strip_prefix("super::") {
            module.pop();
            rest = after;
        }
        let climbed = rest.len() < path.len();
        if climbed {
            format!("crate::{}::{rest}", module.join("::")).replace("::::", "::")
        } else {
            path.to_owned()
        }
    }
}

#[derive(Default)]
struct Complaints(String);

impl Complaints {
    fn add(&mut self, source: &Source, line: usize, what: String) {
        writeln!(self.0, "{}:{line}: {what}", source.path.display()).unwrap();
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "the house is not as drawn:\n{}", self.0);
    }
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

/// The program's own files, without those that hold tests only.
fn sources() -> Vec<Source> {
    let is_test = |path: &PathBuf| path.iter().any(|part| part == "tests" || part == "tests.rs");
    let src = files(&["src"])
        .into_iter()
        .map(|path| path.strip_prefix(env!("CARGO_MANIFEST_DIR")).map(Path::to_path_buf).unwrap());
    let own = src.filter(|path| is_rust(path) && !is_test(path));
    own.map(|path| Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path))).collect()
}

/// What builds and fuzzers leave: nobody's text, and not kept (see .gitignore).
const LEFT_BEHIND: [&str; 5] = ["target", "corpus", "artifacts", "coverage", "__pycache__"];

fn files(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            if LEFT_BEHIND.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            let entries = fs::read_dir(&path).expect("a readable folder");
            waiting.extend(entries.map(|entry| entry.expect("a readable entry").path()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn top_level_texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries =
        fs::read_dir(root).expect("a readable folder").map(|entry| entry.expect("a readable entry").path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "md" || extension == "toml"))
        .collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether `word` stands in `text` and is not the end of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The code with comments, strings and characters replaced by spaces; every line keeps its place.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| quoted(rest)).unwrap_or(0);
        if length > 0 {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[length..];
        } else {
            // A word is taken whole, so that the `r` of `for"` does not begin a raw string.
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let length = word.max(first.len_utf8());
            code.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    code
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |at| at + 2))
}

/// The length of the string, raw string or character that `text` begins with.
fn quoted(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').or_else(|| text.strip_prefix('c')).unwrap_or(text);
    let prefix = text.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = &raw[hashes + 1..];
            let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            // A lifetime has no closing quote near it.
            '\n' if quote == '\'' => return None,
            _ if c == quote => return Some(prefix + at + 1),
            _ if quote == '\'' && at > 1 && !body.starts_with("'\\") => return None,
            _ => {}
        }
    }
    None
}

/// Cuts every item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let brace = item.find('{').unwrap_or(item.len());
        let semicolon = item.find(';').unwrap_or(item.len());
        let end = if semicolon < brace { semicolon + 1 } else { brace + block(&item[brace..]) };
        rest = &item[end.min(item.len())..];
    }
    kept + rest
}

/// The length of the block that begins with the `{` at the start of `code`.
fn block(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Name, first line and number of lines of every function that has a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in
        code.match_indices("fn ").filter(|(at, _)| has_word(&code[at.saturating_sub(1)..at + 3], "fn "))
    {
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(brace) = rest.find('{') else { continue };
        if name.is_empty()
            || rest.find(';').is_some_and(|semicolon| semicolon < brace && !rest[..semicolon].contains('['))
        {
            continue;
        }
        let end = brace + block(&rest[brace..]);
        found.push((name, line_of(code, at), rest[..end].matches('\n').count() + 1));
    }
    found
}

/// The text between every `use` and its `;`, with where it stands.
fn use_trees(code: &str) -> Vec<(usize, String)> {
    let starts = code.match_indices("use ").filter(|(at, _)| {
        code[..*at].trim_end_matches(' ').ends_with(['\n', '{', '}', ';', ')'])
            || *at == 0
            || code[..*at].ends_with("pub ")
    });
    let tree = |(at, _): (usize, &str)| {
        let end = code[at..].find(';').map_or(code.len(), |end| at + end);
        (at, code[at + 4..end].split_whitespace().collect::<Vec<_>>().join(" "))
    };
    starts.map(tree).collect()
}

/// All leaves of a `use` tree as full paths, without their `as` names.
fn expand(prefix: &str, tree: &str, leaves: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        leaves.push(format!("{prefix}{path}"));
        return;
    };
    let inside = &tree[open + 1..open + block(&tree[open..]) - 1];
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = inside[start..at].trim();
                if !branch.is_empty() {
                    expand(&prefix, branch, leaves);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn the_reader_of_sources_sees_what_is_there() {
    let code = blanked(
        "use std::{fs, time::{Duration, Instant}};\nfn a<'x>() { \"}fn\"; r#\"\"}\"#; '\\''; '}' } // fn\n",
    );
    let mut leaves = Vec::new();
    for (_, tree) in use_trees(&code) {
        expand("", &tree, &mut leaves);
    }
    assert_eq!(leaves, ["std::fs", "std::time::Duration", "std::time::Instant"]);
    assert_eq!(functions(&code), [("a".to_owned(), 2, 1)]);
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests { fn b() {} }\nc"), "a\n\nc");
    assert!(!code.contains("}fn"), "{code}");
}
