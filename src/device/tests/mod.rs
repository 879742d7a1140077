//! What the tests of devices share: profiles, and what is heard with them.

mod damage;
mod encodings;
mod framers;
mod options;
mod profiles;
mod reference;

use std::sync::{Arc, LazyLock};

use super::*;
use crate::reading::Value;

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

fn shipped(id: &str) -> Arc<Profile> {
    Arc::new(Library::shipped().profile(id).unwrap())
}

fn with(id: &str, options: Options) -> Arc<Profile> {
    Arc::new(Library::shipped().profile(id).unwrap().with_options(&options).unwrap())
}

/// Readings as text, `name=value ...`, and the labels of problems.
fn hear(profile: &Arc<Profile>, pieces: &[&[u8]]) -> (Vec<String>, Vec<&'static str>) {
    let (mut readings, mut problems) = (Vec::new(), Vec::new());
    let mut take = |found: Found| match found {
        Ok(measurements) => readings.push(show(&measurements)),
        Err(problem) => problems.push(problem.kind.label()),
    };
    let mut listener = Listener::new(Arc::clone(profile));
    for piece in pieces {
        listener.push(piece, &mut take);
    }
    listener.silence(&mut take);
    (readings, problems)
}

fn show(measurements: &Measurements) -> String {
    let one = |one: &crate::reading::Measurement| match &one.value {
        Value::Number(number) => format!("{}={number}", one.name.as_str()),
        Value::Switch(on) => format!("{}={on}", one.name.as_str()),
        Value::Text(text) => format!("{}={text:?}", one.name.as_str()),
        Value::Turn { event, steps } => format!("{}={event} {steps}", one.name.as_str()),
    };
    measurements.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A profile with these keys beside the usual ones.
fn own(text: &str) -> Arc<Profile> {
    let text = format!("{text}\n[device]\nmodel = \"x\"\nabout = \"x\"\n[serial]\nbaud = 9600\n");
    Arc::new(Profile::parse("x", "x.toml", &text).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

fn read(profile: &Arc<Profile>, bytes: &str) -> (Vec<String>, Vec<&'static str>) {
    hear(profile, &[&hex(bytes).unwrap()])
}

/// Framings that no shipped profile has yet, with the fields of the `custom-*` vectors.
const OTHERS: [(&str, &str, &str); 3] = [
    (
        "custom-cobs",
        "stuffing = \"cobs\"\nshortest = 8",
        "{ name = \"temperature\", at = 0, type = \"i16le\", scale = 0.01 },
         { name = \"humidity\", at = 2, type = \"u16le\", scale = 0.01 },
         { name = \"counter\", at = 4, type = \"u32le\" }",
    ),
    (
        "custom-slip",
        "stuffing = \"slip\"\nshortest = 4",
        "{ name = \"a\", at = 0, type = \"i16le\", scale = 0.01 },
         { name = \"b\", at = 2, type = \"u16le\", scale = 0.01 }",
    ),
    (
        "custom-length-prefixed",
        "start = \"A5\"\nlength_field = { at = 1, type = \"u8\", add = 3 }\nlongest = 40\n\
         checksum = { kind = \"sum8\", over = \"2..-1\", at = -1 }",
        "{ name = \"temperature\", at = 2, type = \"i16be\", scale = 0.1 },
         { name = \"humidity\", at = 4, type = \"u16be\", scale = 0.1 }",
    ),
];

fn custom(id: &str) -> Arc<Profile> {
    let (_, frame, fields) = OTHERS.iter().find(|(known, _, _)| *known == id).unwrap();
    let text = format!(
        "field = [{fields}]\n[device]\nmodel = \"x\"\nabout = \"x\"\n[serial]\nbaud = 9600\n[frame]\n{frame}\n"
    );
    Arc::new(Profile::parse(id, "x.toml", &text).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

/// Every profile, shipped or not, completed by options where it needs some.
static EVERY: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let library = Library::shipped();
    let shipped = library.names().map(|id| {
        let columns = (id == "csv").then(|| vec!["a".to_owned(), "b".to_owned()]);
        let pattern = (id == "regex").then(|| "(?<a>[0-9]+)".to_owned());
        with(id, Options { columns, pattern, ..Options::default() })
    });
    shipped.chain(OTHERS.iter().map(|(id, _, _)| custom(id))).collect()
});

/// The bytes cut at the given places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut from, end)..end]).collect()
}
