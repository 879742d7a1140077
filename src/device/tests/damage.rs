//! Damaged captures: every profile's own, one bit wrong or cut anywhere, and any bytes at all.

use proptest::prelude::*;

use super::*;

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
const UNGUARDED: [&str; 10] = [
    "csv",
    "json-lines",
    "key-value",
    "regex",
    "rtl-433",
    "hi-link-ld2410",
    "maxbotix-lv-ez",
    "maxbotix-mb7360",
    "mettler-mt-sics",
    "nordic-uart",
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

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
}
