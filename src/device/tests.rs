//! Every profile proves itself, and every framer keeps its promises on damaged streams.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

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

#[test]
fn every_profile_proves_itself_and_has_a_capture_that_gives_nothing() {
    let library = Library::shipped();
    for id in library.names() {
        let profile = library.profile(id).unwrap_or_else(|error| panic!("{error}"));
        profile.prove().unwrap_or_else(|wrong| panic!("{}", wrong.join("\n")));
        assert!(profile.captures.iter().any(|capture| capture.gives.is_empty()), "{id}: none gives nothing");
        assert!(
            profile.captures.iter().any(|capture| !capture.gives.is_empty()),
            "{id}: none gives anything"
        );
        assert!(!profile.sources.is_empty(), "{id}: where are its facts from?");
        if let Some(wiring) = &profile.wiring {
            assert!(std::path::Path::new(MANIFEST).join(wiring).exists(), "{id}: no file {wiring}");
        }
    }
}

#[test]
fn every_file_of_hardware_profiles_is_compiled_in() {
    let folder = std::fs::read_dir(format!("{MANIFEST}/hardware/profiles")).unwrap();
    let files: BTreeSet<String> =
        folder.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let library = Library::shipped();
    assert_eq!(files, library.names().map(str::to_owned).collect());
}

#[test]
fn a_json_line_gives_numbers_texts_and_truth_values_but_not_null_or_what_is_nested() {
    let line =
        br#"{"t":-3.25,"big":1e3,"open":false,"room":"attic","gone":null,"list":[1],"in":{"t":1},"ts":5}"#;
    let (readings, problems) = hear(&shipped("json-lines"), &[line, b"\n"]);
    assert_eq!(readings, [r#"t=-3.25 big=1000 open=false room="attic" device_ts=5"#]);
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_mapped_json_value_keeps_its_kind_and_a_declared_one_gets_it() {
    let map = [("a.b", "text"), ("c[1]", "digits"), ("d", "gone"), ("e", "nested"), ("f.g", "dotted")];
    let map = Some(map.map(|(from, to)| (from.to_owned(), to.to_owned())).into());
    let profile = with("json-lines", Options { map, ..Options::default() });
    let line = br#"{"a":{"b":"on"},"c":[0,"7.5"],"d":null,"e":{"x":1},"f.g":2,"other":3}"#;
    let (readings, problems) = hear(&profile, &[line, b"\n"]);
    assert_eq!(
        (readings, problems),
        (vec![r#"text="on" digits="7.5" dotted=2"#.to_owned()], vec!["not_a_number"])
    );

    let declared = r#"
        device = { model = "x", about = "x" }
        serial = { baud = 9600 }
        frame = { end = "0A" }
        decode = { as = "json" }
        field = [{ name = "t", as = "number", scale = 0.1 }, { name = "on", from = "s", as = "switch" }]
    "#;
    let profile = Arc::new(Profile::parse("x", "x.toml", declared).unwrap());
    let (readings, _) =
        hear(&profile, &[br#"{"t":"215","s":"ON","u":1}"#, b"\n", br#"{"t":"x","s":0}"#, b"\n"]);
    assert_eq!(readings, ["t=21.5 on=true", "on=false"]);
}

#[test]
fn noise_before_a_json_line_does_not_cost_it() {
    let (readings, _) =
        hear(&shipped("json-lines"), &[b"\0\xFF\xFE{\"t\":1}\n", b"\xEF\xBB\xBF{\"t\":2}\r\n"]);
    assert_eq!(readings, ["t=1", "t=2"]);
}

#[test]
fn bad_lines_are_counted_by_kind_and_harm_no_other() {
    let profile = shipped("json-lines");
    let long = vec![b'x'; crate::limits::FRAME_BYTES + 10];
    let (readings, problems) = hear(
        &profile,
        &[
            b"{\"t\":1}\n\r\n\n",
            b"boot\n[1]\n\"a\"\n",
            &long,
            b"x{\"t\":9}\n",
            b"{\"t\":2}\n",
            b"{\"a\\\"b\":1}\n{}\n{\"t\"",
        ],
    );
    assert_eq!(readings, ["t=1", "t=2"]);
    assert_eq!(problems, ["syntax", "syntax", "syntax", "too_long", "name", "nothing", "truncated"]);

    let columns = Some(vec!["t".to_owned(), "h".to_owned()]);
    let (readings, problems) = hear(
        &with("csv", Options { columns, ..Options::default() }),
        &[b"1,2,3\n1\n\xFF,2\n x , 2 \n,\n\"1.5\",0x10\n7,8,\n"],
    );
    assert_eq!(readings, ["h=2", "t=1.5", "t=7 h=8"]);
    assert_eq!(problems, ["syntax", "syntax", "encoding", "not_a_number", "not_a_number"]);
}

#[test]
fn a_number_keeps_the_digits_that_are_meant() {
    let text = r#"
        device = { model = "x", about = "x" }
        serial = { baud = 9600 }
        frame = { end = "0A" }
        decode = { as = "key-value" }
        field = [
            { name = "a", scale = 0.1 },
            { name = "b", scale = 0.0254, unit = "m" },
            { name = "c", add = -40 },
            { name = "d", scale = 0.3333333, decimals = 2 },
            { name = "e", absent = [9999, -1.5] },
            { name = "f", min = 0, max = 10 },
        ]
    "#;
    let profile = Arc::new(Profile::parse("x", "x.toml", text).unwrap());
    let (readings, problems) =
        hear(&profile, &[b"a=1236 b=64 c=71.5 d=1 e=5 f=10\na=-12.5 e=9999 f=11\ne=-1.50\n"]);
    assert_eq!(readings, ["a=123.6 b=1.6256 c=31.5 d=0.33 e=5 f=10", "a=-1.25"]);
    assert_eq!(problems, ["out_of_range"], "an absent value is no problem");
}

/// Where a mistake is, what is wrong, and what was meant.
fn mistakes(text: &str) -> Vec<String> {
    let errors = Profile::parse("x", "x.toml", text).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_name_their_place_and_what_was_meant() {
    let good = include_str!("../../hardware/profiles/nova-sds011.toml");
    let line_of = |needle: &str| good.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let checksum = line_of("checksum");
    let cases = [
        (
            "lenght",
            "length = 10",
            "lenght = 10",
            format!("x.toml:{}:1: unknown field `lenght`", line_of("length = 10")),
        ),
        (
            "sum9",
            "\"sum8\"",
            "\"sum9\"",
            format!("x.toml:{checksum}:21: \"sum9\" is no checksum; did you mean \"sum8\"?"),
        ),
        ("outside", "at = 8 ", "at = 10 ", format!("x.toml:{checksum}:49: the checksum stands outside")),
        ("type", "\"u16le\"", "\"u16\"", "\"u16\" is no type of a number; u8, i8".to_owned()),
        ("hex", "\"AA C0\"", "\"AA C\"", "these are no bytes in hexadecimal".to_owned()),
        ("twice", "name = \"pm10\"", "name = \"pm25\"", "there are two fields \"pm25\"".to_owned()),
        ("field", "at = 4", "at = 9", "the field stands outside of the frame's 10 bytes".to_owned()),
        ("format", "\"8N1\"", "\"8X1\"", "\"8X1\" is no serial format".to_owned()),
        (
            "own",
            "name = \"pm10\"",
            "name = \"ts\"",
            "\"ts\" is a key that the gateway writes itself".to_owned(),
        ),
    ];
    for (case, from, to, expected) in cases {
        let found = mistakes(&good.replacen(from, to, 1));
        assert!(found.iter().any(|one| one.contains(&expected)), "{case}: {found:#?} has no {expected:?}");
    }
    let line = line_of("at = 2");
    let gated = mistakes(&good.replacen("at = 2", "at = 2\nwhen = \"u8(1) = 3\"", 1));
    assert_eq!(gated, [format!("x.toml:{}:15: the expression ends here, before `=`", line + 1)]);
    let both = mistakes(&good.replace("\"sum8\"", "\"sum9\"").replace("\"8N1\"", "\"8X1\""));
    assert_eq!(both.len(), 2, "mistakes are told all at once: {both:#?}");
    let broken = mistakes("[device\nmodel = 1");
    assert!(broken[0].starts_with("x.toml:1:8: "), "{broken:?}");
}

/// The keys that the TOML reader would have known where an unknown one stands.
fn known_keys(text: &str) -> Vec<String> {
    let mistake = mistakes(text).remove(0);
    let (_, known) =
        mistake.split_once("unknown field `zzz`, expected").unwrap_or_else(|| panic!("{mistake}"));
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_reference_names_every_key_in_its_section() {
    let reference = std::fs::read_to_string(format!("{MANIFEST}/docs/profiles.md")).unwrap();
    let good = "device = { model = \"x\", about = \"x\" }\nserial = { baud = 1 }\n";
    let sections = [
        ("## `[device]`", "device = { zzz = 1 }".to_owned()),
        ("## `[serial]`", "device = { model = \"x\", about = \"x\" }\nserial = { zzz = 1 }".to_owned()),
        ("## `[frame]`", format!("{good}frame = {{ zzz = 1 }}")),
        ("### `length_field`", format!("{good}frame = {{ length_field = {{ zzz = 1 }} }}")),
        ("### `checksum`", format!("{good}frame = {{ checksum = {{ zzz = 1 }} }}")),
        ("## `[decode]`", format!("{good}decode = {{ zzz = 1 }}")),
        ("## `[[poll]]`", format!("{good}poll = [{{ zzz = 1 }}]")),
        ("## `[[field]]`", format!("{good}field = [{{ zzz = 1 }}]")),
        ("## `[modbus]`", format!("{good}modbus = {{ zzz = 1 }}")),
        ("## `[[let]]`", format!("{good}let = [{{ zzz = 1 }}]")),
        ("## `[[eep]]`", format!("{good}eep = [{{ zzz = 1 }}]")),
        ("## `[[command]]`", format!("{good}command = [{{ zzz = 1 }}]")),
        ("| `repeat` |", format!("{good}decode = {{ repeat = {{ zzz = 1 }} }}")),
        ("| `scale_by` |", format!("{good}field = [{{ scale_by = {{ zzz = 1 }} }}]")),
        ("| `read` |", format!("{good}modbus = {{ read = [{{ zzz = 1 }}] }}")),
        ("## `[[capture]]`", format!("{good}capture = [{{ zzz = 1 }}]")),
        ("| `with` |", format!("{good}capture = [{{ with = {{ zzz = 1 }} }}]")),
    ];
    for (heading, text) in &sections {
        let (_, behind) = reference.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
        let section = behind.split(if heading.starts_with('|') { "\n" } else { "\n#" }).next().unwrap();
        let keys = known_keys(text);
        assert!(!keys.is_empty());
        for key in keys {
            let named = [format!("`{key}`"), format!(" {key} = ")].iter().any(|form| section.contains(form));
            assert!(named, "{heading} does not name `{key}`");
        }
    }
    // And every table has its section.
    for table in known_keys("zzz = 1") {
        let named = sections.iter().any(|(heading, _)| heading.contains(&format!("[{table}]")));
        assert!(named, "no section for {table}");
    }
    for name in
        checksum::ChecksumKind::names().chain(protocol::Protocol::names().filter(|name| *name != "modbus"))
    {
        assert!(reference.contains(&format!("`{name}`")), "the reference does not name {name}");
    }
}

#[test]
fn the_example_of_the_reference_proves_itself() {
    let reference = std::fs::read_to_string(format!("{MANIFEST}/docs/profiles.md")).unwrap();
    let example = reference.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Profile::parse("example", "docs/profiles.md", example).unwrap().prove().unwrap();
}

#[test]
fn options_that_do_not_fit_name_their_key() {
    let library = Library::shipped();
    let wrong = |id: &str, options: Options| library.profile(id).unwrap().with_options(&options).unwrap_err();
    let pattern = Some("(?<a".to_owned());
    assert_eq!(wrong("regex", Options::default()).key, "pattern");
    assert_eq!(wrong("regex", Options { pattern, ..Options::default() }).key, "pattern");
    let map = Some([("T".to_owned(), "temperature".to_owned())].into());
    let columns = Some(vec!["a".to_owned(), "a".to_owned()]);
    assert_eq!(wrong("csv", Options::default()).key, "columns");
    assert_eq!(wrong("csv", Options { columns: columns.clone(), ..Options::default() }).key, "columns");
    assert_eq!(wrong("json-lines", Options { columns, ..Options::default() }).key, "columns");
    assert_eq!(wrong("nova-sds011", Options { map, ..Options::default() }).key, "map");
    assert_eq!(
        wrong("nova-sds011", Options { interval_ms: Some(1), ..Options::default() }).key,
        "interval_ms"
    );
    assert_eq!(wrong("csv", Options { format: Some("9N1".into()), ..Options::default() }).key, "format");
    assert!(library.profile("nova-sds01").unwrap_err().to_string().contains("did you mean \"nova-sds011\"?"));
}

#[test]
fn an_overlong_line_ends_where_its_end_is_however_that_is_cut() {
    let text = "device = { model = \"x\", about = \"x\" }\nserial = { baud = 1 }\n\
                frame = { end = \"0D 0A\", longest = 8 }\ndecode = { as = \"key-value\" }";
    let profile = Arc::new(Profile::parse("x", "x.toml", text).unwrap());
    let stream = b"t=1\r\n0123456789\rt=9\r\nt=2\r\n";
    for cut in 0..stream.len() {
        let (readings, problems) = hear(&profile, &[&stream[..cut], &stream[cut..]]);
        assert_eq!((readings, problems), (vec!["t=1".to_owned(), "t=2".to_owned()], vec!["too_long"]));
    }
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

/// From the COBS and SLIP vectors, whose bytes were made by the Python packages cobs and sliplib.
#[test]
fn stuffed_and_length_prefixed_frames_are_read() {
    let read = |id: &str, bytes: &str| hear(&custom(id), &[&hex(bytes).unwrap()]);
    let (readings, problems) = read("custom-cobs", "0566080b130101010100082bfd2923cd8b010100 0005 00");
    assert_eq!(
        readings,
        ["temperature=21.5 humidity=48.75 counter=0", "temperature=-7.25 humidity=90.01 counter=101325"]
    );
    assert_eq!(problems, ["syntax"]);
    let (readings, problems) = read("custom-slip", "85 07 c0 dbdcbfdbdcdbddc0c085077c15c0 db00c0");
    assert_eq!(readings, ["a=-164.48 b=562.56", "a=19.25 b=55"]);
    assert_eq!(problems, ["length", "syntax"]);
    let (readings, problems) = read("custom-length-prefixed", "a504ffc9032cf6a50400e701c7af a5ff");
    assert_eq!(readings, ["temperature=23.1 humidity=45.5"]);
    assert_eq!(problems, ["checksum", "length"]);
}

/// A profile with these keys beside the usual ones.
fn own(text: &str) -> Arc<Profile> {
    let text = format!("{text}\n[device]\nmodel = \"x\"\nabout = \"x\"\n[serial]\nbaud = 9600\n");
    Arc::new(Profile::parse("x", "x.toml", &text).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

fn read(profile: &Arc<Profile>, bytes: &str) -> (Vec<String>, Vec<&'static str>) {
    hear(profile, &[&hex(bytes).unwrap()])
}

#[test]
fn fields_have_conditions_intermediates_tables_and_other_types() {
    let profile = own(r#"
        frame = { start = "AA", length_field = { at = 1, type = "u8", add = 2 }, longest = 40 }
        let = [{ name = "packed", value = "u24be(3)" }, { name = "high", value = "packed // 1000" }]
        field = [
            { name = "temperature", when = "u8(2) == 1", value = "high", scale = 0.1 },
            { name = "humidity", when = "u8(2) == 1", value = "packed % 1000", scale = 0.1 },
            { name = "temperature", when = "u8(2) == 2 && length >= 5", at = 3, type = "s16be", scale = 0.5 },
            { name = "state", when = "u8(2) == 3", at = 3, type = "u8", table = { 0 = "off", 0x10 = "on" } },
            { name = "mode", when = "u8(2) == 4", at = 3, bits = "4..8", table = { 1 = true, "*" = false } },
            { name = "mac", when = "u8(2) == 5", at = 3, type = "macle" },
            { name = "name", when = "u8(2) == 6", at = 3, type = "ascii4" },
            { name = "count", when = "u8(2) == 7", at = 3, type = "bcd16le", absent = [99] },
        ]
    "#);
    let (readings, problems) = read(
        &profile,
        "AA 04 01 03 D2 7F  AA 03 02 80 05  AA 02 03 10  AA 02 03 11  AA 02 04 1F  AA 07 05 06 05 04 03 02 01 \
         AA 05 06 61 62 00 63  AA 03 07 34 12  AA 03 07 99 00  AA 03 07 9A 00  AA 01 09",
    );
    assert_eq!(
        readings,
        [
            "temperature=25 humidity=49.5",
            "temperature=-2.5",
            "state=\"on\"",
            "mode=true",
            "mac=\"01:02:03:04:05:06\"",
            "name=\"ab\"",
            "count=1234",
        ]
    );
    assert_eq!(problems, ["out_of_range", "nothing"]);
}

#[test]
fn elements_with_a_tag_and_a_length_are_read_one_by_one() {
    let profile = own(r#"
        frame = { start = "AA", length_field = { at = 1, type = "u8", add = 2 }, longest = 60 }
        let = [{ name = "kind", value = "u8(0)", each = true }]
        field = [
            { name = "count", at = 1, type = "u8" },
            { name = "temperature", each = true, when = "kind == 1", at = 2, type = "i16le", scale = 0.01 },
            { name = "humidity", each = true, when = "kind == 2", at = 2, type = "u8" },
        ]
        [decode]
        repeat = { from = 2, size = "2 + u8(1)" }
    "#);
    let (readings, _) = read(&profile, "AA 0F  01 02 C4 09  09 01 FF  02 01 30  01 02 18 FC  05");
    assert_eq!(readings, ["count=15 temperature=25 humidity=48 temperature_2=-10"]);
    let (readings, _) = read(&profile, "AA 04 01 00 01 7F");
    assert_eq!(readings, ["count=4"], "an element that reaches behind the end is none");
}

#[test]
fn frames_may_end_with_a_trailer_with_silence_or_escaped() {
    let stx = own(r#"
        frame = { start = "02", end = "03", trailer = 1, restart = true, checksum = { kind = "xor8", over = "1..-1", at = -1 } }
        field = [{ name = "a", at = 1, type = "digits3" }]
    "#);
    let (readings, problems) = hear(&stx, &[b"x\x02031\x02042\x03\x35\x02 -7\x03\x35\x02 -7\x03\x39"]);
    assert_eq!(
        (readings, problems),
        (vec!["a=42".to_owned(), "a=-7".to_owned()], vec!["truncated", "checksum"])
    );
    let silent = own(r#"
        frame = { until_silence = true, longest = 4 }
        field = [{ name = "a", at = 0, type = "u16be" }]
    "#);
    assert_eq!(hear(&silent, &[b"\x01", b"\x02"]).0, ["a=258"]);
    assert_eq!(hear(&silent, &[b"\x01\x02\x03\x04\x05"]).1, ["too_long"]);
    let hdlc = own(r#"
        frame = { stuffing = "hdlc", shortest = 2, checksum = { kind = "crc16-x25", over = "0..-2", at = -2, order = "little" } }
        field = [{ name = "a", at = 0, type = "u8" }]
    "#);
    let sum = checksum::ChecksumKind::parse("crc16-x25").unwrap().of(&[0x7E]).to_le_bytes();
    assert_eq!(hear(&hdlc, &[&[0x7E, 0x7D, 0x5E, sum[0], sum[1], 0x7E, 0x7D, 0x7E]]).0, ["a=126"]);
}

/// Readings of a profile for which `stream` is an answer, as text.
fn heard(profile: &Arc<Profile>, request: Option<&Request>, stream: &[u8]) -> Vec<Vec<String>> {
    let mut readings = Vec::new();
    let mut listener = Listener::new(Arc::clone(profile));
    if let Some(request) = request {
        listener.ask(request.clone());
    }
    let mut take = |found: Found| {
        if let Ok(measurements) = found {
            readings.push(
                measurements.iter().map(|one| format!("{}={:?}", one.name.as_str(), one.value)).collect(),
            );
        }
    };
    listener.push(stream, &mut take);
    listener.silence(&mut take);
    readings
}

/// Formats that nothing guards, or not all of it.
const UNGUARDED: [&str; 9] = [
    "csv",
    "json-lines",
    "key-value",
    "regex",
    "rtl-433",
    "hi-link-ld2410",
    "maxbotix-lv-ez",
    "maxbotix-mb7360",
    "mettler-mt-sics",
];

/// Every bit of every capture, wrong once: what comes out is what the capture says, or a part of it, and never
/// anything else; and the whole capture behind it comes out whole.
#[test]
fn one_wrong_bit_gives_no_wrong_reading_and_costs_nothing_behind_it() {
    let library = Library::shipped();
    for id in library.names().filter(|id| !UNGUARDED.contains(id) && *id != "sartorius-sbi") {
        let plain = library.profile(id).unwrap();
        // Telegrams of old that nothing guards stand among the captures, and lines that a wrong bit would mend.
        let is_guarded = |capture: &&Capture| {
            !capture.gives.is_empty()
                && !capture.source.contains("version 2.2")
                && !capture.source.contains("mode D")
                && !capture.source.contains("costs itself")
        };
        for capture in plain.captures.iter().filter(is_guarded) {
            let profile = Arc::new(plain.clone().with_options(&capture.options).unwrap());
            let request = capture.request.as_ref();
            let good = heard(&profile, request, &capture.bytes);
            // The sum of a French meter's line has six bits; parity guards the others.
            let bits = if id.starts_with("linky") { 6 } else { 8 };
            let stride = 1 + capture.bytes.len() / 100;
            for at in (0..capture.bytes.len() * bits).step_by(stride) {
                let mut stream = capture.bytes.clone();
                stream[at / bits] ^= 1 << (at % bits);
                let broken = heard(&profile, request, &stream);
                for reading in &broken {
                    let told = good.iter().any(|good| reading.iter().all(|one| good.contains(one)));
                    assert!(told, "{id}, bit {at} wrong: {reading:?} of {good:?}");
                }
                stream.extend(&capture.bytes);
                let behind = heard(&profile, request, &stream);
                assert!(behind.ends_with(&good), "{id}, bit {at} wrong: {behind:?}, {good:?} was behind");
            }
        }
    }
}

/// Any part of a capture, then the whole: the whole comes out.
#[test]
fn a_cut_frame_costs_none_behind_it() {
    let library = Library::shipped();
    for id in library.names().filter(|id| !UNGUARDED.contains(id) && *id != "sartorius-sbi") {
        let plain = library.profile(id).unwrap();
        for capture in plain.captures.iter().filter(|capture| !capture.gives.is_empty()) {
            let profile = Arc::new(plain.clone().with_options(&capture.options).unwrap());
            let request = capture.request.as_ref();
            let good = heard(&profile, request, &capture.bytes);
            let stride = 1 + capture.bytes.len() / 150;
            for cut in (0..capture.bytes.len()).step_by(stride) {
                for stream in
                    [[&capture.bytes[..cut], &capture.bytes], [&capture.bytes[cut..], &capture.bytes]]
                {
                    let heard = heard(&profile, request, &stream.concat());
                    assert!(heard.ends_with(&good), "{id}, cut at {cut}: {heard:?}, {good:?} was behind");
                }
            }
        }
    }
}

/// What stands between frames on a bad line.
#[derive(Debug, Clone)]
enum Piece {
    Frame(u16, u16),
    Garbage(Vec<u8>),
    Cut(usize),
    BadSum,
}

fn sds011(pm25: u16, pm10: u16) -> [u8; 10] {
    let [a, b] = pm25.to_le_bytes();
    let [c, d] = pm10.to_le_bytes();
    let sum = [a, b, c, d, 0xA1, 0x60].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    [0xAA, 0xC0, a, b, c, d, 0xA1, 0x60, sum, 0xAB]
}

fn pms5003(number: u64) -> Vec<u8> {
    let mut frame = vec![0x42, 0x4D, 0x00, 0x1C];
    frame.extend(number.to_be_bytes().repeat(4).iter().take(26));
    let sum = frame.iter().map(|byte| u16::from(*byte)).sum::<u16>();
    frame.extend(sum.to_be_bytes());
    frame
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    // Garbage that cannot hold the frame's opening bytes, and cuts that end before the next frame begins: what
    // must come out is then known exactly.
    let piece = prop_oneof![
        4 => (0_u16..9999, 0_u16..9999).prop_map(|(a, b)| Piece::Frame(a, b)),
        1 => proptest::collection::vec(0_u8..0xC0, 1..20).prop_map(Piece::Garbage),
        1 => (1_usize..9).prop_map(Piece::Cut),
        1 => Just(Piece::BadSum),
    ];
    proptest::collection::vec(piece, 0..30)
}

fn stream_of(pieces: &[Piece]) -> (Vec<u8>, Vec<String>) {
    let (mut stream, mut wanted) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Frame(pm25, pm10) => {
                stream.extend(sds011(*pm25, *pm10));
                wanted.push(format!("pm25={} pm10={}", f64::from(*pm25) / 10.0, f64::from(*pm10) / 10.0));
            }
            Piece::Garbage(bytes) => stream.extend(bytes),
            Piece::Cut(length) => stream.extend(&sds011(0x0101, 0x0202)[..*length]),
            Piece::BadSum => {
                let mut frame = sds011(0x0101, 0x0202);
                frame[8] ^= 0x40;
                stream.extend(frame);
            }
        }
    }
    (stream, wanted)
}

/// The bytes cut at the given places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut from, end)..end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every whole frame comes out, once, in order, and nothing else, however the stream is damaged and split.
    #[test]
    fn whole_frames_survive_any_neighbour_and_any_split(
        pieces in pieces(),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        let (stream, wanted) = stream_of(&pieces);
        let profile = shipped("nova-sds011");
        prop_assert_eq!(&hear(&profile, &split(&stream, &cuts)).0, &wanted);
    }

    /// The same where the length is told by the frame: lies about it, and frames inside of lies, cost nothing.
    #[test]
    fn whole_frames_survive_lies_about_their_length(
        pieces in proptest::collection::vec(
            prop_oneof![
                2 => (0_u64..100_000).prop_map(Ok),
                1 => proptest::collection::vec(
                    prop_oneof![Just(0x42_u8), Just(0x4D), Just(0x00), Just(0x1C), any::<u8>()],
                    1..40,
                ).prop_map(Err),
            ],
            0..20,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        // A lie may swallow a frame only if its sum holds, which is as likely as any wrong sum: not here.
        let profile = shipped("plantower-pms5003");
        let (mut stream, mut wanted) = (Vec::new(), 0);
        for piece in &pieces {
            match piece {
                Ok(number) => {
                    stream.extend(pms5003(*number));
                    wanted += 1;
                }
                Err(garbage) => stream.extend(garbage),
            }
        }
        prop_assert_eq!(hear(&profile, &split(&stream, &cuts)).0.len(), wanted);
    }

    /// Any bytes at all, to any profile: the same findings for every split, and memory that a frame bounds.
    #[test]
    fn a_split_changes_nothing_and_memory_is_bounded(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0xAA), Just(0xC0), Just(0x42), Just(0x4D), Just(0xFF), Just(b'\n'), Just(b'{')],
            0..400,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        for profile in EVERY.iter() {
            let whole = hear(profile, &[&bytes]);
            let in_pieces = hear(profile, &split(&bytes, &cuts));
            prop_assert_eq!(whole, in_pieces, "profile {}", profile.id);
        }
    }

    /// One flipped bit inside the guarded part of a frame never gives a reading.
    #[test]
    fn a_flipped_bit_gives_no_reading(pm25: u16, pm10: u16, bit in 16_usize..72) {
        let mut frame = sds011(pm25, pm10);
        frame[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(hear(&shipped("nova-sds011"), &[&frame]).0, Vec::<String>::new());
    }
}
