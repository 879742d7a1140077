//! Files that rot: whatever is done to them, the journal opens, gives what is intact, and says what is lost.

use std::collections::BTreeSet;

use tidegate::durable::{ConsumerId, Record, Sequence, Urgency};
use tidegate::journal::{Journal, Load, OpenError, Recovery};

use crate::crash_disk::CrashDisk;
use crate::world::{CONSUMERS, World, options};

const PAGE: usize = 4096;

/// A journal of a few commits, and which messages came with which of them.
struct Small {
    world: World,
    /// Segment file, page and messages of each commit after the first.
    commits: Vec<(String, usize, BTreeSet<Sequence>)>,
}

/// Every message is owed to all consumers; nothing is settled.
fn small(commits: usize, message_bytes: usize) -> Small {
    let mut world = World::new(7, options(7));
    let mut made: Vec<(String, usize, BTreeSet<Sequence>)> = Vec::new();
    let mut page = 2;
    for _ in 0..commits {
        let sequences = BTreeSet::from([world.next_sequence, world.next_sequence.next()]);
        let records = vec![world.message_for_all(message_bytes), world.message_for_all(message_bytes)];
        world.append(Urgency::Awaited, records);
        world.commit();
        let name = world.disk.names().last().unwrap().clone();
        page = if made.last().is_some_and(|(last, ..)| *last != name) { 1 } else { page };
        made.push((name, page, sequences));
        page += (2 * message_bytes).div_ceil(PAGE);
    }
    Small { world, commits: made }
}

/// Opened, and read to the end: what is damaged in older segments is found then.
fn open(disk: &CrashDisk) -> (Journal<CrashDisk>, Recovery) {
    let world = World::new(0, options(0));
    let (mut journal, mut recovery) =
        Journal::open(disk.clone(), options(99), world.now).expect("a damaged journal opens");
    recovery.report = journal.examine_all().clone();
    (journal, recovery)
}

fn held(journal: &mut Journal<CrashDisk>) -> BTreeSet<Sequence> {
    let load = |consumer| Load {
        consumer: ConsumerId(consumer),
        after: Sequence::ZERO,
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
        committed_only: false,
    };
    let first: BTreeSet<Sequence> =
        journal.load(&load(1)).deliveries.iter().map(|delivery| delivery.sequence).collect();
    for consumer in 2..=CONSUMERS {
        let other = journal.load(&load(consumer)).deliveries;
        assert!(other.iter().map(|delivery| delivery.sequence).eq(first.iter().copied()));
    }
    first
}

/// One byte is changed, in every place in turn, in a journal of one page per commit: everything outside of the commit
/// that is hit is delivered, and exactly what is in it is said to be lost.
#[test]
fn every_byte_may_flip() {
    let small = small(5, 100);
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    let name = small.commits[0].0.clone();
    let length = (small.commits.len() + 2) * PAGE;
    // All bytes of what is written; of the padding and of what is not written only some.
    let content = small.world.disk.content(&name);
    let places = (0..length).filter(|at| content[*at] != 0 || at % 509 == 0);
    for at in places {
        let disk = small.world.disk.fork();
        disk.damage(&name, |bytes| bytes[at] ^= 0x41);
        let (mut journal, recovery) = open(&disk);
        let hit = small.commits.iter().position(|(_, page, _)| *page == at / PAGE);
        let lost = hit.map(|hit| small.commits[hit].2.clone()).unwrap_or_default();
        let held = held(&mut journal);
        if at / PAGE == 1 && content[at] != 0 {
            // The first commit holds the only checkpoint, and the consumers: nobody is left to give the rest to.
            let missing = (all.len() - held.len()) as u64;
            assert_eq!(recovery.report.messages_lost(), missing, "byte {at}: {:?}", recovery.report);
            continue;
        }
        if held == all {
            assert!(recovery.report.is_sound(), "byte {at}: nothing is missing, but {:?}", recovery.report);
            continue;
        }
        assert_eq!(held, &all - &lost, "byte {at}: everything but what was hit");
        let is_last = hit == Some(small.commits.len() - 1);
        if is_last {
            // Whether it was ever acknowledged cannot be told.
            assert!(recovery.report.is_sound());
        } else {
            assert_eq!(recovery.report.lost.len(), 1, "byte {at}: {:?}", recovery.report);
            assert_eq!(recovery.report.lost[0].commits, 1);
            assert_eq!(recovery.report.messages_lost(), 2);
            assert_eq!(recovery.report.lost[0].place.offset as usize, at / PAGE * PAGE);
        }
    }
}

/// The file ends anywhere: what stood before is delivered.
#[test]
fn a_file_may_be_cut_anywhere() {
    let small = small(6, 100);
    let name = small.commits[0].0.clone();
    for length in (0..(small.commits.len() + 3) * PAGE).step_by(171) {
        let disk = small.world.disk.fork();
        disk.damage(&name, |bytes| bytes.truncate(length));
        let (mut journal, _) = open(&disk);
        let whole = |commit: &&(String, usize, BTreeSet<Sequence>)| commit.1 * PAGE + 350 <= length;
        let expected: BTreeSet<Sequence> =
            small.commits.iter().filter(whole).flat_map(|(_, _, held)| held.clone()).collect();
        let held = held(&mut journal);
        assert!(held.is_superset(&expected), "cut at {length}: {held:?} of {expected:?}");
    }
}

/// A journal of many segments, each of its files hit in many places: everything but the commit that is hit is delivered,
/// and exactly the messages of that commit are said to be lost.
#[test]
fn bytes_may_flip_in_any_of_many_segments() {
    let small = small(60, 2_500);
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    let last = small.commits.last().unwrap().2.clone();
    let first = small.world.disk.names()[0].clone();
    for name in small.world.disk.names() {
        let length = small.world.disk.content(&name).len();
        for at in (0..length).step_by(1_009) {
            let disk = small.world.disk.fork();
            disk.damage(&name, |bytes| bytes[at] ^= 0x41);
            let (mut journal, recovery) = open(&disk);
            let pages = |page: usize| page..page + 2;
            let mut of_file = small.commits.iter().filter(|(of, ..)| *of == name);
            let hit = of_file.find(|(_, page, _)| pages(*page).contains(&(at / PAGE)));
            let hit = hit.map(|(_, _, held)| held.clone()).unwrap_or_default();
            let held = held(&mut journal);
            let place = format!("{name} at {at}: {:?}", recovery.report);
            if held == all {
                // Padding, a header that has a copy, what was never written; or the first commit, without messages.
                assert!(recovery.report.is_sound() || (name == first && at / PAGE == 1), "{place}");
            } else {
                assert_eq!(held, &all - &hit, "{place}");
                let told = if hit == last { 0 } else { 2 };
                assert_eq!(recovery.report.messages_lost(), told, "{place}");
            }
        }
    }
}

/// Any file of many ends anywhere: what is missing is said, but for the newest file, of which nobody knows how far it went.
#[test]
fn any_of_many_files_may_be_cut() {
    let small = small(60, 2_500);
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    let newest = small.commits.last().unwrap().0.clone();
    for name in small.world.disk.names() {
        let content = small.world.disk.content(&name).len();
        for length in (0..content).step_by(3_001) {
            let disk = small.world.disk.fork();
            disk.damage(&name, |bytes| bytes.truncate(length));
            let (mut journal, recovery) = open(&disk);
            let is_intact = |commit: &&(String, usize, BTreeSet<Sequence>)| {
                commit.0 != name || (commit.1 + 2) * PAGE <= length
            };
            let intact = small.commits.iter().filter(is_intact);
            let intact: BTreeSet<Sequence> = intact.flat_map(|(_, _, held)| held.clone()).collect();
            let held = held(&mut journal);
            let place = format!("{name} cut at {length}: {:?}", recovery.report);
            assert!(held.is_superset(&intact), "{place}");
            if name != newest {
                let missing = (all.len() - held.len()) as u64;
                assert_eq!(recovery.report.messages_lost(), missing, "{place}");
            }
        }
    }
}

/// In a journal of several segments the checkpoint of each may be hit: the one before it serves.
#[test]
fn a_damaged_checkpoint_loses_only_its_own_commit() {
    let small = small(60, 2_500);
    let names: BTreeSet<String> = small.commits.iter().map(|(name, ..)| name.clone()).collect();
    assert!(names.len() >= 5, "several segments: {names:?}");
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    let state = open(&small.world.disk.fork()).1.state;
    for name in names.iter().skip(1) {
        let disk = small.world.disk.fork();
        disk.damage(name, |bytes| bytes[PAGE + 100] ^= 1);
        let (mut journal, recovery) = open(&disk);
        let first = small.commits.iter().find(|(of, ..)| of == name).unwrap();
        assert_eq!(held(&mut journal), &all - &first.2, "{name}");
        assert_eq!(recovery.report.messages_lost(), 2, "{name}: {:?}", recovery.report);
        assert_eq!(recovery.state, state, "{name}: uplinks and sequences are known from elsewhere");
    }
}

/// Either copy of a segment's header may be gone.
#[test]
fn one_copy_of_a_header_is_enough() {
    let small = small(60, 2_500);
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    for name in small.world.disk.names() {
        for at_the_end in [false, true] {
            let disk = small.world.disk.fork();
            disk.damage(&name, |bytes| {
                let start = if at_the_end { bytes.len() - PAGE } else { 0 };
                bytes[start..start + PAGE].fill(0xff);
            });
            let (mut journal, recovery) = open(&disk);
            assert_eq!(held(&mut journal), all, "{name}");
            assert!(recovery.report.is_sound(), "{name}: {:?}", recovery.report);
        }
    }
}

/// A file is what its header says: names may be swapped, copies are no second segment, a missing one is missed.
#[test]
fn files_may_be_swapped_copied_and_taken_away() {
    let small = small(60, 2_500);
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    let names = small.world.disk.names();
    let disk = small.world.disk.fork();
    let (first, second) = (disk.take(&names[0]).unwrap(), disk.take(&names[2]).unwrap());
    disk.put(&names[2], first);
    disk.put(&names[0], second);
    disk.put("999999.segment", disk.content(&names[1]));
    let (mut journal, recovery) = open(&disk);
    assert_eq!(held(&mut journal), all);
    assert!(recovery.report.is_sound());

    for name in &names[..names.len() - 1] {
        let disk = small.world.disk.fork();
        disk.take(name);
        let (mut journal, recovery) = open(&disk);
        let in_it = small.commits.iter().filter(|(of, ..)| of == name).flat_map(|(_, _, held)| held.clone());
        let lost: BTreeSet<Sequence> = in_it.collect();
        assert_eq!(held(&mut journal), &all - &lost, "{name}");
        assert_eq!(recovery.report.messages_lost(), lost.len() as u64, "{name}: {:?}", recovery.report);
    }
}

/// What was lost once is not said to be lost at every start.
#[test]
fn damage_is_reported_once() {
    let small = small(60, 2_500);
    let (name, page, _) = &small.commits[3];
    let disk = small.world.disk.fork();
    disk.damage(name, |bytes| bytes[page * PAGE + 50] ^= 1);
    let mut world = World { disk: disk.clone(), ..small.world };
    let recovery = world.open();
    assert!(recovery.report.is_sound(), "older segments are not read at once");
    assert_eq!(world.journal().examine_all().lost.len(), 1);
    world.next_sequence = recovery.state.last_sequence.next();
    let record = world.message_for_all(10);
    world.append(Urgency::Awaited, vec![record]);
    world.commit();
    world.open();
    let report = world.journal().examine_all();
    assert!(report.is_sound(), "{report:?}");
}

/// Whole files of garbage are put aside, and everything else goes on.
#[test]
fn garbage_is_put_aside() {
    let small = small(20, 2_500);
    let all: BTreeSet<Sequence> = small.commits.iter().flat_map(|(_, _, held)| held.clone()).collect();
    let disk = small.world.disk.fork();
    disk.put("000777.segment", vec![0x5a; 64 * 1024]);
    disk.put("notes.txt", b"mine".to_vec());
    let (mut journal, recovery) = open(&disk);
    assert_eq!(held(&mut journal), all);
    assert_eq!(recovery.report.unreadable_files, ["000777.segment"]);
    assert!(disk.names().contains(&"000777.segment.unreadable".to_owned()));
    assert_eq!(disk.content("notes.txt"), b"mine");
    assert!(open(&disk).1.report.is_sound());
}

/// A newer format is refused, and not one byte is changed.
#[test]
fn a_newer_format_is_left_alone() {
    let small = small(10, 100);
    let disk = small.world.disk.fork();
    let name = disk.names()[0].clone();
    disk.damage(&name, |bytes| {
        bytes[8..12].copy_from_slice(&3u32.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..64]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    let before: Vec<Vec<u8>> = disk.names().iter().map(|name| disk.content(name)).collect();
    let refused = Journal::open(disk.clone(), options(1), small.world.now);
    assert!(matches!(refused, Err(OpenError::NewerFormat { found: 3, known: 2 })));
    assert!(disk.names().iter().map(|name| disk.content(name)).eq(before));
}

/// The commits of an earlier life of a file are still in it, whole, at the very places where commits are looked for: they
/// do not come back.
#[test]
fn what_a_file_held_before_does_not_come_back() {
    let mut world = World::new(5, options(5));
    for _ in 0..600 {
        let record = world.message_for_all(2_500);
        world.append(Urgency::Awaited, vec![record]);
        world.commit();
        let first = world.next_sequence.0 - 1;
        for consumer in 1..=CONSUMERS {
            let (consumer, sequence) = (ConsumerId(consumer), Sequence(first));
            world.append(Urgency::Lingers, vec![Record::Done { consumer, sequence }]);
        }
        world.commit();
        world.tend();
    }
    assert!(world.disk.names().len() < 10, "files are used again");
    let report = world.crash(crate::crash_disk::Tear::LoseAll);
    assert!(report.is_sound());
    assert_eq!(report.messages, 0);
}
