//! Mistakes of profiles name their place, and the reference of the language names what there is.

use super::*;

/// Where a mistake is, what is wrong, and what was meant.
fn mistakes(text: &str) -> Vec<String> {
    let errors = Profile::parse("x", "x.toml", text).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_name_their_place_and_what_was_meant() {
    let good = include_str!("../../../hardware/profiles/nova-sds011.toml");
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

#[test]
fn mistakes_of_registers_and_values_are_said_in_the_words_of_the_language() {
    let good = include_str!("../../../hardware/profiles/xy-md02.toml");
    let cases = [
        ("function = 4", "function = 7", ":17:12: function 7 reads nothing; 1 and 2 read bits"),
        ("function = 4", "function = 2", "functions 1 and 2 read bits: a bit has no type"),
        ("register = 0x0001", "register = 70000", "integer `70000`, expected a whole number, 0 to 65535"),
        ("timeout_ms = 500", "timeout_ms = \"500\"", "string \"500\", expected a whole number, 0 or more"),
        (
            "function = 4",
            "function = 4\nread = [{ register = 1, count = 1 }]",
            "no read of [modbus] holds this register",
        ),
        ("[modbus]", "[frame]\nend = \"0A\"\n[modbus]", "a device with [modbus] has no frames of its own"),
    ];
    for (from, to, expected) in cases {
        let found = mistakes(&good.replacen(from, to, 1));
        assert!(found.iter().any(|one| one.contains(expected)), "{found:#?} has no {expected:?}");
    }
    assert_eq!(mistakes(&good.replacen("[modbus]", "[frame]\nend = \"0A\"\n[modbus]", 1)).len(), 1);
}

#[test]
fn a_capture_that_is_wrong_is_told_with_its_line_in_the_words_of_the_profile() {
    let good = include_str!("../../../hardware/profiles/xy-md02.toml");
    let wrong =
        good.replacen("temperature = 30.5, humidity = 54.6", "temperature = 30.6, humidity = 54.6", 1);
    let line = good.lines().position(|line| line == "[[capture]]").unwrap() + 1;
    let told = Profile::parse("x", "x.toml", &wrong).unwrap().prove().unwrap_err();
    let expected = format!(
        "x.toml:{line}: capture 1: gives [{{ humidity = 54.6, temperature = 30.5 }}], \
         must give [{{ humidity = 54.6, temperature = 30.6 }}]"
    );
    assert_eq!(told, [expected]);
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
        ("## `[gatt]`", format!("{good}gatt = {{ zzz = 1 }}")),
        ("| `begin` |", format!("{good}gatt = {{ interval_ms = 1000, begin = [{{ zzz = 1 }}] }}")),
        ("## `[[characteristic]]`", format!("{good}characteristic = [{{ zzz = 1 }}]")),
        ("### `rate`", format!("{good}characteristic = [{{ rate = [{{ zzz = 1 }}] }}]")),
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
    for name in stuffing::Stuffing::NAMES {
        assert!(reference.contains(&format!("`\"{name}\"`")), "the reference does not name {name}");
    }
}

#[test]
fn the_example_of_the_reference_proves_itself() {
    let reference = std::fs::read_to_string(format!("{MANIFEST}/docs/profiles.md")).unwrap();
    let example = reference.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Profile::parse("example", "docs/profiles.md", example).unwrap().prove().unwrap();
}
