//! When there is no room: what goes, what stays, and that everything is counted.

use std::time::Duration;

use tidegate::durable::{ConsumerId, DropReason, JournalHealth, Record, Sequence, Urgency};
use tidegate::journal::{Event, Options, OptionsError, WhenFull};
use tidegate::mqtt::TopicName;

use crate::crash_disk::Tear;
use crate::world::{World, options};

const SEGMENT: u64 = 64 * 1024;

fn small(when_full: WhenFull) -> Options {
    Options { max_bytes: 10 * SEGMENT, when_full, ..options(0) }
}

fn keep(world: &mut World, owed: Vec<u32>) {
    let record = world.message(owed, 2000);
    world.append(Urgency::Awaited, vec![record]);
    world.commit();
    world.tend();
}

fn done(world: &mut World, consumer: u32, sequence: Sequence) {
    let consumer = ConsumerId(consumer);
    world.append(Urgency::Lingers, vec![Record::Done { consumer, sequence }]);
}

/// The oldest go, the newest stay, and what went is counted to the last one.
#[test]
fn drop_oldest_stays_within_its_bytes_and_counts() {
    let mut world = World::new(1, small(WhenFull::DropOldest));
    for _ in 0..2000 {
        keep(&mut world, vec![1, 2]);
        let bytes = world.journal().sizes().file_bytes;
        assert!(bytes <= 10 * SEGMENT, "{bytes} bytes");
    }
    for consumer in [1, 2].map(ConsumerId) {
        let held = world.load_all(consumer, true);
        assert_eq!(held.last().unwrap().0, Sequence(2000), "the newest stays");
        assert!(held.windows(2).all(|pair| pair[0].0.next() == pair[1].0), "only the oldest went");
        assert_eq!(held.len() as u64 + world.dropped[&consumer], 2000);
        assert!(held.len() > 100, "{} stay", held.len());
    }
    let reasons = world.events.iter().filter_map(|event| match event {
        Event::Dropped { reason, .. } => Some(*reason),
        _ => None,
    });
    assert!(reasons.into_iter().all(|reason| reason == DropReason::JournalFull));
    assert!(world.crash(Tear::LoseAll).is_sound());
}

/// Of seven topics one is rare: its only message outlives thousands of the others, whose newest stay too. What went is
/// counted to the last one.
#[test]
fn keep_latest_keeps_the_newest_of_each_topic() {
    let mut world = World::new(7, small(WhenFull::KeepLatest));
    let mut rare = world.message(vec![1, 2], 2000);
    if let Record::Kept { message, .. } = &mut rare {
        message.topic = TopicName::parse("rare").unwrap();
    }
    world.append(Urgency::Awaited, vec![rare]);
    world.commit();
    for _ in 0..3000 {
        keep(&mut world, vec![1, 2]);
        let bytes = world.journal().sizes().file_bytes;
        assert!(bytes <= 10 * SEGMENT, "{bytes} bytes");
    }
    for again in [false, true] {
        if again {
            assert!(world.crash(Tear::LoseAll).is_sound());
        }
        for consumer in [1, 2].map(ConsumerId) {
            let held = world.load_all(consumer, false);
            assert_eq!(held[0].0, Sequence(1), "the rare one stays, and comes first");
            assert_eq!(held.last().unwrap().0, Sequence(3001), "the newest stays");
            let counted = held.len() as u64 + world.dropped[&consumer];
            // What was given up last was not yet on disk: it is back.
            assert!(if again { counted >= 3001 } else { counted == 3001 }, "{counted}");
        }
    }
    // Another run knows what is latest from what it finds.
    for _ in 0..500 {
        keep(&mut world, vec![1, 2]);
    }
    assert_eq!(world.load_all(ConsumerId(1), true)[0].0, Sequence(1));
}

/// What a consumer has loaded, or given an identifier, stays although it is the oldest.
#[test]
fn what_was_handed_out_is_not_dropped() {
    let mut world = World::new(2, small(WhenFull::DropOldest));
    for _ in 0..10 {
        keep(&mut world, vec![1, 2]);
    }
    world.load_all(ConsumerId(1), true);
    let assigned = crate::world::assigned(ConsumerId(2), 7, Sequence(5));
    world.append(Urgency::Awaited, vec![assigned]);
    for _ in 0..2000 {
        keep(&mut world, vec![1, 2]);
    }
    let of_1: Vec<u64> = world.load_all(ConsumerId(1), true).iter().map(|(sequence, _)| sequence.0).collect();
    assert!((1..=10).all(|sequence| of_1.contains(&sequence)), "loaded: {:?}", &of_1[..12]);
    let of_2: Vec<u64> = world.load_all(ConsumerId(2), true).iter().map(|(sequence, _)| sequence.0).collect();
    assert_eq!(of_2[0], 5, "assigned");
    assert!(of_2[1] > 1000);
    assert_eq!(of_1.len() as u64 + world.dropped[&ConsumerId(1)], 2010);
    assert!(world.crash(Tear::LoseAll).is_sound());
}

/// Whoever refuses what is new says so in time, and takes it again when there is room.
#[test]
fn block_and_drop_newest_say_that_they_are_full() {
    for when_full in [WhenFull::Block, WhenFull::DropNewest] {
        let mut world = World::new(3, small(when_full));
        let mut kept = 0;
        while world.journal().status().health != JournalHealth::Full {
            keep(&mut world, vec![1]);
            kept += 1;
            assert!(kept < 1000);
        }
        assert!(world.journal().sizes().file_bytes <= 10 * SEGMENT);
        for sequence in 1..=kept {
            done(&mut world, 1, Sequence(sequence));
            world.commit();
            world.tend();
        }
        assert!(world.journal().sizes().file_bytes <= 10 * SEGMENT, "acknowledgements find room");
        assert_eq!(world.journal().status().health, JournalHealth::Accepting);
        assert!(world.dropped.is_empty());
        assert!(world.crash(Tear::LoseAll).is_sound());
    }
}

/// One consumer that takes nothing is owed one message of a hundred; the others take everything. What it is owed is copied
/// together, and nothing is dropped.
#[test]
fn one_slow_consumer_cannot_hold_everything() {
    let mut world = World::new(4, small(WhenFull::DropOldest));
    for number in 1..=5000u64 {
        let owed = if number % 100 == 0 { vec![1, 2] } else { vec![2] };
        keep(&mut world, owed);
        done(&mut world, 2, Sequence(number));
    }
    world.commit();
    assert!(world.dropped.is_empty(), "{:?}", world.dropped);
    assert!(world.journal().sizes().file_bytes <= 10 * SEGMENT);
    let held = world.load_all(ConsumerId(1), true);
    assert!(held.iter().map(|(sequence, _)| sequence.0).eq((100..=5000).step_by(100)));
    assert!(world.crash(Tear::LoseAll).is_sound());
    let again = world.load_all(ConsumerId(1), true);
    assert_eq!(again, held);
}

/// What is too old goes, and nothing younger.
#[test]
fn max_age_drops_what_is_older() {
    let mut world = World::new(5, Options { max_age: Some(Duration::from_secs(100)), ..options(0) });
    for _ in 0..300 {
        keep(&mut world, vec![1]);
        world.pass(Duration::from_secs(1));
    }
    world.tend();
    let held = world.load_all(ConsumerId(1), true);
    let ages: Vec<u64> =
        held.iter().map(|(_, message)| world.now.since(&message.accepted_at).unwrap().as_secs()).collect();
    assert_eq!((ages[0], ages.len()), (100, 100));
    assert_eq!(world.dropped[&ConsumerId(1)], 200);
    assert!(world.crash(Tear::LoseAll).is_sound());
}

/// After an outage the disk is given back.
#[test]
fn files_of_an_outage_are_given_back() {
    let mut world = World::new(6, options(6));
    for _ in 0..1000 {
        keep(&mut world, vec![1]);
    }
    let most = world.journal().sizes().file_bytes;
    for sequence in 1..=1000 {
        done(&mut world, 1, Sequence(sequence));
        world.commit();
        world.tend();
    }
    let least = world.journal().sizes().file_bytes;
    assert!(most > 30 * SEGMENT && least < 9 * SEGMENT, "from {most} to {least}");
}

/// Options that make no sense are refused with a clear word.
#[test]
fn options_are_checked() {
    let tiny = Options { max_bytes: SEGMENT, ..options(0) };
    assert_eq!(tiny.check(), Err(OptionsError::MaxBytesTooSmall(8 * SEGMENT)));
    let odd = Options { segment_bytes: 100_000, ..options(0) };
    assert_eq!(odd.check(), Err(OptionsError::SegmentBytes));
}
