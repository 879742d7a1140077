//! A journal of an older format is read, and goes on in the format of today.

use std::fs;
use std::path::Path;

use crate::writer;

/// Written by the version that knew format 1 only: 100 commits of the writer in [`crate::writer`]. Of each file its name,
/// its length and its pages that are not blank.
const FORMAT_1: &[u8] = include_bytes!("format-1.bin");
/// The last message in it.
const LAST: u64 = 300;
const PAGE: usize = 4096;

struct Fixture<'a>(&'a [u8]);

impl Fixture<'_> {
    fn take(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    fn number(&mut self, bytes: usize) -> usize {
        self.take(bytes).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn unpack(&mut self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        while !self.0.is_empty() {
            let name_length = self.number(1);
            let name = String::from_utf8(self.take(name_length)).unwrap();
            let mut content = vec![0; self.number(4)];
            for _ in 0..self.number(2) {
                let start = self.number(2) * PAGE;
                let length = self.number(2);
                let page = self.take(length);
                content[start..start + length].copy_from_slice(&page);
            }
            fs::write(folder.join(name), content).unwrap();
        }
    }
}

fn formats(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.filter(|content| content.starts_with(b"TIDEGATE")).map(|content| content[8]).collect()
}

#[test]
fn format_1_is_read_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    Fixture(FORMAT_1).unpack(&journal);
    assert!(formats(&journal).iter().all(|format| *format == 1));
    assert_eq!(writer::check(&journal, LAST), LAST);
    for commits in [1, 20, 300] {
        let mut child = writer::start(&[], &journal, commits);
        let said = writer::said(child.stdout.take().unwrap());
        assert!(child.wait().unwrap().success(), "{said:?}");
        let promised = said.iter().filter_map(|line| writer::committed(line)).max().unwrap();
        assert!(promised > LAST);
        writer::check(&journal, promised);
        assert!(formats(&journal).contains(&2), "what is new has the new format");
    }
}
