//! A journal that is not in use is copied, file by file, and goes on from the copy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::writer;

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn write(folder: &Path, commits: u64) -> u64 {
    let mut child = writer::start(&[], folder, commits);
    let said = writer::said(child.stdout.take().unwrap());
    assert!(child.wait().unwrap().success(), "{said:?}");
    said.iter().filter_map(|line| writer::committed(line)).max().unwrap()
}

/// The copy holds everything; it goes on by itself, and neither knows of the other. Restoring is copying back.
#[test]
fn a_stopped_journal_is_copied_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let saved = write(&path("journal"), 100);
    copy(&path("journal"), &path("backup"));
    let later = write(&path("journal"), 50);
    assert!(later > saved);

    assert_eq!(writer::check(&path("backup"), saved), saved);
    fs::rename(path("journal"), path("aside")).unwrap();
    copy(&path("backup"), &path("journal"));
    assert_eq!(writer::check(&path("journal"), saved), saved);
    let after = write(&path("journal"), 80);
    assert!(after > saved);
    writer::check(&path("journal"), after);
    assert_eq!(writer::check(&path("aside"), later), later);
    let mode = |name: &str| fs::metadata(path("journal").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("lock"), 0o600, "a copy keeps its rights");
}
