//! Every shipped profile proves itself.

use std::collections::BTreeSet;

use super::*;

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
