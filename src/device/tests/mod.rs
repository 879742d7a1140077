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

/// Framings that no shipped profile has: those of the `custom-*` vectors.
const OTHERS: [(&str, &str); 3] = [
    ("custom-cobs", include_str!("../../../tests/devices/profiles/custom-cobs.toml")),
    ("custom-slip", include_str!("../../../tests/devices/profiles/custom-slip.toml")),
    ("custom-length-prefixed", include_str!("../../../tests/devices/profiles/custom-length-prefixed.toml")),
];

fn custom(id: &str) -> Arc<Profile> {
    let (_, text) = OTHERS.iter().find(|(known, _)| *known == id).unwrap();
    Arc::new(Profile::parse(id, "x.toml", text).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

/// Every profile, shipped or not, completed by options where it needs some.
static EVERY: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let library = Library::shipped();
    let shipped = library.names().map(|id| {
        let columns = (id == "csv").then(|| vec!["a".to_owned(), "b".to_owned()]);
        let pattern = (id == "regex").then(|| "(?<a>[0-9]+)".to_owned());
        with(id, Options { columns, pattern, ..Options::default() })
    });
    shipped.chain(OTHERS.iter().map(|(id, _)| custom(id))).collect()
});

/// The bytes cut at the given places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut from, end)..end]).collect()
}
