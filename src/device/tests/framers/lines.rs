//! Lines of text. What was damaged may say something else: nothing guards it; but no line harms another.

use super::{Dialect, Next, sum};
use crate::device::tests::{own, shipped, with};
use crate::device::{Options, Profile};
use crate::limits;
use std::sync::Arc;

fn of_lines(
    profile: Arc<Profile>,
    make: impl Fn(u32) -> String + 'static,
    shows: impl Fn(u32) -> String + 'static,
) -> Dialect {
    Dialect {
        profile,
        asked: None,
        frame: Box::new(move |number| make(number).into_bytes()),
        shows: Box::new(shows),
        whole: Box::new(|bytes| {
            let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
            (end <= limits::FRAME_BYTES).then_some(end)
        }),
        next: Next::Line(b"\n"),
        spice: b"\r\n{}[]\",:;= \t-0\0",
        longest: limits::FRAME_BYTES,
    }
}

#[test]
fn json_lines() {
    let make = |number| format!("{{\"t\":{number},\"on\":true}}\r\n");
    of_lines(shipped("json-lines"), make, |number| format!("t={number} on=true")).holds();
}

#[test]
fn csv() {
    let columns = Some(vec!["a".to_owned(), "b".to_owned()]);
    let profile = with("csv", Options { columns, ..Options::default() });
    of_lines(profile, |number| format!("{number},-1\n"), |number| format!("a={number} b=-1")).holds();
}

#[test]
fn key_value() {
    let make = |number| format!("T={number} H:40\n");
    of_lines(shipped("key-value"), make, |number| format!("T={number} H=40")).holds();
}

#[test]
fn regex() {
    let pattern = Some("^a(?<a>[0-9]+)z$".to_owned());
    let profile = with("regex", Options { pattern, ..Options::default() });
    of_lines(profile, |number| format!("a{number}z\r\n"), |number| format!("a={number}")).holds();
}

/// A line with a checksum never says anything wrong.
#[test]
fn a_line_with_a_checksum() {
    let profile = own(r#"
        frame = { end = "0D 0A", longest = 40, shortest = 5, checksum = { kind = "sum8", over = "0..-4", at = -4, hex = true } }
        decode = { as = "regex", pattern = "^(?<n>[0-9]+);[0-9A-F]{2}" }
        field = [{ name = "n", as = "number" }]
    "#);
    let make = |number: u32| {
        let body = format!("{number};");
        format!("{body}{:02X}\r\n", sum(body.as_bytes()))
    };
    let mut dialect = of_lines(profile, make, |number| format!("n={number}"));
    dialect.whole = Box::new(|bytes| {
        let end = super::find(bytes, b"\r\n", 0).filter(|end| (5..=40).contains(&(end + 2)))?;
        let digits = std::str::from_utf8(&bytes[end - 2..end]).ok()?;
        let said = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        (sum(&bytes[..end - 2]) == said).then_some(end + 2)
    });
    dialect.next = Next::Line(b"\r\n");
    dialect.longest = 40;
    dialect.holds();
}
