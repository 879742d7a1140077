//! What everybody has before it was written is never written; what somebody has not is, within `commit_interval`.

use std::time::Duration;

use tidegate::durable::{ConsumerId, Record, Sequence, Urgency};
use tidegate::journal::{Event, Load};

use crate::crash_disk::Tear;
use crate::world::{World, assigned, options};

const CLOUD: ConsumerId = ConsumerId(1);
const ELSEWHERE: ConsumerId = ConsumerId(2);

fn world() -> World {
    let mut world = World::new(7, options(7));
    world.let_ahead(&[CLOUD]);
    world.events.clear();
    world
}

/// A reading for these, which nobody waits for.
fn reading(world: &mut World, owed: &[ConsumerId]) -> Sequence {
    let record = world.message(owed.iter().map(|consumer| consumer.0).collect(), 100);
    let Record::Kept { sequence, .. } = &record else { unreachable!("a message is kept") };
    let sequence = *sequence;
    world.append(Urgency::Lingers, vec![record]);
    sequence
}

fn done(world: &mut World, consumer: ConsumerId, sequence: Sequence) {
    world.append(Urgency::Lingers, vec![Record::Done { consumer, sequence }]);
}

/// What the cloud is given at once.
fn given(world: &mut World) -> Vec<Sequence> {
    let load = Load {
        consumer: CLOUD,
        after: Sequence::ZERO,
        max_messages: 1000,
        max_bytes: 1 << 20,
        committed_only: false,
    };
    world.journal().load(&load).deliveries.iter().map(|delivery| delivery.sequence).collect()
}

fn available(world: &mut World) -> Option<Sequence> {
    let events = std::mem::take(&mut world.events);
    let mut available = events.iter().filter_map(|event| match event {
        Event::Available { consumer: CLOUD, through } => Some(*through),
        _ => None,
    });
    available.next_back()
}

/// Over a link that is well nothing is written, however many readings there are; each is told to be safe.
#[test]
fn a_healthy_link_writes_nothing() {
    let mut world = world();
    let before = world.journal().sizes().written_bytes;
    for _ in 0..10_000 {
        let sequence = reading(&mut world, &[CLOUD]);
        assert_eq!(available(&mut world), Some(sequence));
        assert_eq!(given(&mut world), [sequence]);
        world.pass(Duration::from_millis(50));
        let now = world.now.monotonic;
        assert!(world.journal().next_commit().is_some_and(|due| due > now), "not before it lingered");
        done(&mut world, CLOUD, sequence);
        assert_eq!(world.journal().next_commit(), None);
    }
    assert_eq!(world.committed, tidegate::durable::Ticket(world.next_ticket.0 - 1));
    world.tend();
    let sizes = world.journal().sizes();
    // A spare file is made ready by the first look.
    let spare = 2 * world.options.segment_bytes;
    assert!(sizes.written_bytes <= before + spare, "{} bytes", sizes.written_bytes - before);
    assert_eq!(sizes.spared, 10_000);
    assert_eq!(world.journal().status().uncommitted_bytes, 0);
}

/// An acknowledgement of what was written is no reason to write what is just on its way; many are.
#[test]
fn acknowledgements_of_what_was_written_are_patient() {
    let mut world = world();
    let written = (0..64).map(|_| reading(&mut world, &[CLOUD])).collect::<Vec<_>>();
    world.commit();
    let (first, others) = written.split_first().unwrap();
    done(&mut world, CLOUD, *first);
    let since = world.now.monotonic;
    assert_eq!(world.committed, tidegate::durable::Ticket(world.next_ticket.0 - 1), "no ticket waits for it");
    assert_eq!(world.journal().next_commit(), Some(since + Duration::from_secs(30)));
    let on_its_way = reading(&mut world, &[CLOUD]);
    assert_eq!(world.journal().next_commit(), Some(since + world.options.commit_interval));
    done(&mut world, CLOUD, on_its_way);
    assert_eq!(world.journal().next_commit(), Some(since + Duration::from_secs(30)));
    for sequence in others {
        done(&mut world, CLOUD, *sequence);
    }
    assert_eq!(world.journal().next_commit(), Some(since + world.options.commit_interval));
    world.commit();
    assert_eq!(world.journal().next_commit(), None);
    world.crash(Tear::LoseAll);
    world.commit();
    assert_eq!(given(&mut world), []);
}

/// With many on their way at once, the oldest of them counts.
#[test]
fn what_is_on_its_way_for_less_than_the_interval_is_not_written() {
    let mut world = world();
    let mut open = std::collections::VecDeque::new();
    let commits = world.journal().status().commits;
    for _ in 0..1_000 {
        open.push_back(reading(&mut world, &[CLOUD]));
        world.pass(Duration::from_millis(20));
        if open.len() > 20 {
            let sequence = open.pop_front().unwrap();
            done(&mut world, CLOUD, sequence);
        }
        let now = world.now.monotonic;
        assert!(world.journal().next_commit().is_some_and(|due| due > now));
    }
    assert_eq!(world.journal().status().commits, commits);
}

/// The link is cut: everything is on disk after `commit_interval`, in order, and survives.
#[test]
fn with_a_cut_link_everything_is_written_in_time() {
    let mut world = world();
    let first = reading(&mut world, &[CLOUD]);
    let since = world.now.monotonic;
    let last = reading(&mut world, &[CLOUD]);
    assert_eq!(world.journal().next_commit(), Some(since + world.options.commit_interval));
    world.commit();
    world.crash(Tear::LoseAll);
    world.commit();
    assert_eq!(given(&mut world), [first, last]);
}

/// What one has and another has not is written, with what was said about it.
#[test]
fn what_somebody_is_still_owed_is_written() {
    let mut world = world();
    let sequence = reading(&mut world, &[CLOUD, ELSEWHERE]);
    done(&mut world, CLOUD, sequence);
    assert_eq!(world.journal().sizes().spared, 0);
    world.commit();
    world.crash(Tear::LoseAll);
    world.commit();
    assert_eq!(given(&mut world), []);
    assert_eq!(world.load_all(ELSEWHERE, true).len(), 1);
}

/// Nothing that was said about a spared message comes to disk: after a crash its sequence is another's.
#[test]
fn a_sequence_that_was_spared_may_be_given_again() {
    let mut world = world();
    world.append(Urgency::Awaited, vec![assigned(CLOUD, 9, Sequence(0))]);
    world.commit();
    let spared = reading(&mut world, &[CLOUD, ELSEWHERE]);
    world.append(Urgency::Lingers, vec![assigned(ELSEWHERE, 1, spared)]);
    done(&mut world, ELSEWHERE, spared);
    done(&mut world, CLOUD, spared);
    assert_eq!(world.journal().sizes().spared, 1);
    // Somebody says it twice, and the disk is written to for another reason.
    let now = world.now;
    let twice = Record::Done { consumer: CLOUD, sequence: spared };
    let ticket = world.next_ticket;
    world.next_ticket = ticket.next();
    world.journal().append(now, tidegate::journal::Writer::BROKER, ticket, Urgency::Lingers, twice);
    world.append(Urgency::Awaited, vec![Record::WindowForgotten { consumer: CLOUD }]);
    world.commit();
    world.crash(Tear::LoseAll);
    world.commit();
    let again = reading(&mut world, &[CLOUD, ELSEWHERE]);
    assert_eq!(again, spared);
    world.commit();
    world.crash(Tear::LoseAll);
    world.commit();
    assert_eq!(given(&mut world), [again]);
    assert_eq!(world.load_all(ELSEWHERE, true).len(), 1);
}

/// While somebody waits for a commit, what waits with it is not given: it will be on disk in a moment.
#[test]
fn nothing_overtakes_a_commit_that_somebody_waits_for() {
    let mut world = world();
    let first = reading(&mut world, &[CLOUD]);
    world.events.clear();
    let record = world.message(vec![CLOUD.0], 10);
    world.append(Urgency::Awaited, vec![record]);
    assert_eq!(available(&mut world), None);
    assert_eq!(given(&mut world), []);
    world.commit();
    assert_eq!(available(&mut world), Some(first.next()));
    assert_eq!(given(&mut world), [first, first.next()]);
}

/// Gaps in the sequence are no damage, and cost no memory: a thousand gaps, one chunk of neighbours in each file.
#[test]
fn gaps_are_no_damage() {
    let mut world = world();
    let mut kept = Vec::new();
    for _ in 0..1_000 {
        let sequence = reading(&mut world, &[CLOUD]);
        done(&mut world, CLOUD, sequence);
        kept.push(reading(&mut world, &[CLOUD, ELSEWHERE]));
        if kept.len() % 50 == 0 {
            world.commit();
        }
    }
    let report = world.crash(Tear::LoseAll);
    assert!(report.is_sound(), "{report:?}");
    world.commit();
    assert!(world.journal().examine_all().is_sound());
    assert_eq!(given(&mut world), kept);
    for sequence in kept {
        done(&mut world, CLOUD, sequence);
        done(&mut world, ELSEWHERE, sequence);
    }
    world.commit();
    let report = world.crash(Tear::LoseAll);
    assert!(report.is_sound(), "{report:?}");
    world.commit();
    assert_eq!(given(&mut world), []);
}
