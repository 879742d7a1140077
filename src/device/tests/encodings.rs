//! Encodings of lines and of bytes: what fields mean.

use super::*;

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
