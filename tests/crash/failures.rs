//! Disks that fail: at one operation, at all of them, for lack of room, when read.

use std::time::Duration;

use tidegate::durable::{ConsumerId, JournalHealth, Record, Sequence, Urgency};
use tidegate::journal::{Alarm, Event, Load};

use crate::crash_disk::{FaultRates, Rng, Tear};
use crate::world::{World, options};

fn keep_one(world: &mut World) {
    let record = world.message_for_all(100);
    world.append(Urgency::Awaited, vec![record]);
}

fn health(world: &World) -> Vec<JournalHealth> {
    let health = |event: &Event| if let Event::Health(health) = event { Some(*health) } else { None };
    world.events.iter().filter_map(health).collect()
}

fn alarms(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, Event::Alarm(_))).count()
}

/// A sync that failed is never asked again: the commit goes to another segment, and only what is there counts. The disk
/// goes on showing what it has forgotten, as Linux does; a power cut later brings that to light.
#[test]
fn after_a_failed_sync_the_commit_is_written_elsewhere() {
    for (fails, what) in [(0, "write"), (1, "sync")] {
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Sectors] {
            for seed in 0..20 {
                let mut world = World::new(seed, options(seed));
                (0..5).for_each(|_| {
                    keep_one(&mut world);
                    world.commit();
                });
                keep_one(&mut world);
                world.disk.fail_at(world.disk.operations() + fails);
                world.commit();
                assert_eq!(world.committed.next(), world.next_ticket, "{what}: committed all the same");
                let moved = |event: &Event| matches!(event, Event::Alarm(Alarm::CommitMoved { .. }));
                assert!(world.events.iter().any(moved), "{what}: somebody is told");
                assert!(health(&world).is_empty());
                // Opened again while the disk still shows the forgotten commit, used, and cut off later.
                let recovery = world.open();
                world.compare(&recovery);
                (0..3).for_each(|_| {
                    keep_one(&mut world);
                    world.commit();
                });
                assert!(world.crash(tear).is_sound());
            }
        }
    }
}

/// A commit that fails in three places may stand in the second of them all the same, behind what counts as the last: then
/// it does not count, and its sequences are given again.
#[test]
fn what_failed_everywhere_does_not_count_wherever_it_stands() {
    for seed in 0..300 {
        let mut world = World::new(seed, options(seed));
        world.tend();
        world.tend();
        (0..5).for_each(|_| {
            keep_one(&mut world);
            world.commit();
        });
        let first = world.disk.operations();
        let mut rng = Rng::new(seed);
        (first..first + 12)
            .filter(|_| rng.per_mille(600))
            .for_each(|operation| world.disk.fail_at(operation));
        keep_one(&mut world);
        world.commit();
        world.disk.fail_no_more();
        let tear = [Tear::KeepAll, Tear::Sectors, Tear::Pages, Tear::Prefix][rng.below(4) as usize];
        for _ in 0..2 {
            assert!(world.crash(tear).is_sound(), "seed {seed}");
            (0..2).for_each(|_| {
                keep_one(&mut world);
                world.commit();
            });
        }
    }
}

/// A segment that could not be begun, and whose file was removed, may be back after a power cut: its place in the log is
/// given to no other by the process that comes next, which would lose all that it writes there.
#[test]
fn a_segment_that_failed_and_comes_back_does_not_stand_in_place_of_another() {
    for seed in 0..100 {
        let mut world = World::new(seed, options(seed));
        // Many segments in which nothing is owed any more: there are files enough, so that none need be made.
        let sequences: Vec<Sequence> = (0..12)
            .map(|_| {
                let sequence = world.next_sequence;
                let record = world.message(vec![1], 30_000);
                world.append(Urgency::Awaited, vec![record]);
                world.commit();
                sequence
            })
            .collect();
        let done = |sequence| Record::Done { consumer: ConsumerId(1), sequence };
        world.append(Urgency::Awaited, sequences.into_iter().map(done).collect());
        (0..4).for_each(|_| {
            world.commit();
            keep_one(&mut world);
            world.commit();
            world.tend();
        });
        world.kill();
        keep_one(&mut world);
        world.disk.set_fault_rates(FaultRates { sync: 1000, ..FaultRates::default() });
        world.commit();
        world.disk.set_fault_rates(FaultRates::default());
        world.kill();
        (0..5).for_each(|_| {
            keep_one(&mut world);
            world.commit();
        });
        assert!(world.crash(Tear::LoseAll).is_sound(), "seed {seed}");
    }
}

/// When nothing can be written nothing is acknowledged; when it can again, everything that waited is.
#[test]
fn a_dead_disk_acknowledges_nothing_and_may_come_back() {
    let mut world = World::new(3, options(3));
    keep_one(&mut world);
    world.commit();
    let committed = world.committed;
    world.disk.set_dead(true);
    for _ in 0..10 {
        keep_one(&mut world);
        world.commit();
        let due = world.journal().next_commit().expect("it goes on trying");
        assert!(due > world.now.monotonic, "but not at once");
        world.pass(Duration::from_secs(3));
    }
    assert_eq!(world.committed, committed);
    assert_eq!(health(&world), [JournalHealth::Dead]);
    assert!(alarms(&world) < 10, "a person is told, not flooded");
    let loaded = world.load_all(ConsumerId(1), false);
    assert_eq!(loaded.len(), 11, "live delivery goes on from memory");

    world.disk.set_dead(false);
    world.commit();
    assert_eq!(world.committed.next(), world.next_ticket);
    assert_eq!(health(&world), [JournalHealth::Dead, JournalHealth::Accepting]);
    assert!(world.crash(Tear::LoseAll).is_sound());
    assert_eq!(world.load_all(ConsumerId(1), false).len(), 11);
}

/// An unrelated full disk does not stop acceptance at once: spare files are there already.
#[test]
fn spare_segments_outlast_a_full_disk() {
    let mut world = World::new(4, options(4));
    world.tend();
    world.tend();
    let held: usize = world.disk.names().iter().map(|name| world.disk.content(name).len()).sum();
    world.disk.set_capacity(Some(held as u64));
    let mut accepted = 0;
    while world.events.iter().all(|event| !matches!(event, Event::Health(_))) {
        let record = world.message_for_all(3000);
        world.append(Urgency::Awaited, vec![record]);
        world.commit();
        world.tend();
        accepted += 1;
        assert!(accepted < 1000, "it must be noticed some time");
    }
    assert!(accepted > 10, "{accepted} messages of 3000 bytes were accepted with the disk full");
    assert_eq!(world.committed.next(), world.next_ticket, "what was accepted is on disk");
    assert_eq!(health(&world), [JournalHealth::Full]);
    assert!(world.crash(Tear::LoseAll).is_sound());
}

/// A disk that cannot be read loses nothing: what it owes is asked for again later.
#[test]
fn what_cannot_be_read_now_is_not_given_up() {
    let mut world = World::new(5, options(5));
    for _ in 0..50 {
        keep_one(&mut world);
    }
    world.commit();
    world.disk.set_fault_rates(FaultRates { read: 1000, ..FaultRates::default() });
    let load = Load {
        consumer: ConsumerId(1),
        after: Sequence::ZERO,
        max_messages: 100,
        max_bytes: 1_000_000,
        committed_only: true,
    };
    assert!(world.journal().load(&load).deliveries.is_empty());
    assert!(!world.journal().can_read());
    world.disk.set_fault_rates(FaultRates::default());
    assert_eq!(world.journal().load(&load).deliveries.len(), 50);
    assert!(world.journal().can_read());
    assert!(world.dropped.is_empty());
}

/// A message that rotted after it was written is not delivered, and is counted.
#[test]
fn a_message_that_rotted_is_dropped_and_counted() {
    let mut world = World::new(6, options(6));
    for _ in 0..3 {
        keep_one(&mut world);
        world.commit();
    }
    let name = world.disk.names()[0].clone();
    let page = |number: usize| number * 4096;
    world.disk.damage(&name, |bytes| bytes[page(3) + 100] ^= 1);
    assert_eq!(world.load_all(ConsumerId(1), false).len(), 2);
    world.commit();
    assert_eq!(world.dropped.get(&ConsumerId(1)), Some(&1));
    assert_eq!(alarms(&world), 1);
}

/// A record larger than a segment is kept all the same, and whole tickets stay together.
#[test]
fn a_record_may_be_larger_than_a_segment() {
    let mut world = World::new(8, options(8));
    let large = world.message(vec![1, 2], 300_000);
    let small = world.message(vec![1], 10);
    let received = Record::Received {
        consumer: ConsumerId(1),
        packet_identifier: tidegate::mqtt::PacketIdentifier::FIRST,
    };
    world.append(Urgency::Awaited, vec![large, small, received]);
    world.commit();
    assert!(world.crash(Tear::LoseAll).is_sound());
    assert_eq!(world.load_all(ConsumerId(1), false).len(), 2);
}
