//! The share of an uplink: what goes when it is used up or too old, what stays, and that everything is counted.

use std::time::Duration;

use tidegate::durable::{ConsumerId, DropReason, Record, Sequence, Urgency};
use tidegate::journal::{Event, Load, Options, Quota, WhenUsedUp};

use crate::crash_disk::Tear;
use crate::world::{World, options};

const CLOUD: ConsumerId = ConsumerId(1);
const OTHER: ConsumerId = ConsumerId(2);
/// Of about fifty messages.
const SHARE: u64 = 100_000;

fn quota(consumers: &[ConsumerId]) -> Quota {
    Quota {
        consumers: consumers.to_vec(),
        max_bytes: Some(SHARE),
        max_age: None,
        when_used_up: WhenUsedUp::DropOldest,
    }
}

fn keep(world: &mut World, owed: &[ConsumerId]) {
    let record = world.message(owed.iter().map(|consumer| consumer.0).collect(), 4000);
    world.append(Urgency::Awaited, vec![record]);
    world.commit();
    world.tend();
}

fn owed(world: &mut World, consumer: ConsumerId) -> (u64, u64) {
    let backlog = world.journal().status().backlogs.get(&consumer).copied().unwrap_or_default();
    (backlog.messages, backlog.bytes)
}

/// How many of these were said to be dropped for a consumer, for this reason.
fn dropped(world: &World, whom: ConsumerId, why: DropReason) -> u64 {
    let counts = world.events.iter().filter_map(|event| match event {
        Event::Dropped { consumer, count, reason } => (*consumer == whom && *reason == why).then_some(*count),
        _ => None,
    });
    counts.sum()
}

/// The oldest go for whom the share is used up, and for nobody else; across a power cut.
#[test]
fn the_oldest_go_for_whom_the_share_is_used_up_and_for_nobody_else() {
    let mut world = World::new(1, options(1));
    world.journal().set_quota(quota(&[CLOUD]));
    for _ in 0..500 {
        keep(&mut world, &[CLOUD, OTHER]);
        let (_, bytes) = owed(&mut world, CLOUD);
        assert!(bytes <= SHARE, "{bytes} bytes");
    }
    let held = world.load_all(CLOUD, true);
    assert!(held.len() >= 20, "{} stay", held.len());
    assert!(held.iter().map(|(sequence, _)| sequence.0).eq(501 - held.len() as u64..=500), "the newest");
    assert_eq!(held.len() as u64 + dropped(&world, CLOUD, DropReason::QueueFull), 500);
    assert_eq!(owed(&mut world, OTHER).0, 500);
    world.commit();
    assert!(world.crash(Tear::LoseAll).is_sound());
    world.commit();
    assert_eq!(world.load_all(CLOUD, true).len(), held.len(), "what went does not come back");
}

/// What was handed out stays, whatever the share says.
#[test]
fn what_was_handed_out_stays() {
    let mut world = World::new(2, options(2));
    for _ in 0..100 {
        keep(&mut world, &[CLOUD]);
    }
    let load = Load {
        consumer: CLOUD,
        after: Sequence::ZERO,
        max_messages: 60,
        max_bytes: 1 << 20,
        committed_only: true,
    };
    assert_eq!(world.journal().load(&load).deliveries.len(), 60);
    world.journal().set_quota(quota(&[CLOUD]));
    world.tend();
    assert_eq!(owed(&mut world, CLOUD).0, 60);
    assert_eq!(dropped(&world, CLOUD, DropReason::QueueFull), 40);
}

/// What is new is not kept for whom the share is used up, until there is room again.
#[test]
fn the_newest_are_not_kept_for_whom_the_share_is_used_up() {
    let mut world = World::new(3, options(3));
    world.journal().set_quota(Quota { when_used_up: WhenUsedUp::DropNewest, ..quota(&[CLOUD]) });
    for _ in 0..100 {
        keep(&mut world, &[CLOUD, OTHER]);
    }
    let held = world.load_all(CLOUD, true);
    assert!(held.iter().map(|(sequence, _)| sequence.0).eq(1..=held.len() as u64), "the oldest");
    assert!((20..=40).contains(&held.len()), "{} stay", held.len());
    assert_eq!(held.len() as u64 + dropped(&world, CLOUD, DropReason::QueueFull), 100);
    assert_eq!(owed(&mut world, OTHER).0, 100);
    world.crash(Tear::LoseAll);
    world.commit();
    assert_eq!(world.load_all(CLOUD, true).len(), held.len());
    for (sequence, _) in held {
        let done = Record::Done { consumer: CLOUD, sequence };
        world.append(Urgency::Lingers, vec![done]);
    }
    world.commit();
    world.journal().set_quota(Quota { when_used_up: WhenUsedUp::DropNewest, ..quota(&[CLOUD]) });
    keep(&mut world, &[CLOUD]);
    assert_eq!(world.load_all(CLOUD, true).len(), 1);
}

/// Nor right after a start, before the first commit: who starts again and again would creep over the share.
#[test]
fn the_newest_are_not_kept_right_after_a_start() {
    let mut world = World::new(7, options(7));
    let newest = Quota { when_used_up: WhenUsedUp::DropNewest, ..quota(&[CLOUD]) };
    world.quotas = vec![newest.clone()];
    world.journal().set_quota(newest);
    for _ in 0..100 {
        keep(&mut world, &[CLOUD]);
    }
    let held = owed(&mut world, CLOUD);
    for _ in 0..10 {
        world.crash(Tear::LoseAll);
        keep(&mut world, &[CLOUD]);
        assert_eq!(owed(&mut world, CLOUD), held);
    }
    assert_eq!(held.0 + dropped(&world, CLOUD, DropReason::QueueFull), 110);
}

/// A crash right after the commit must not find a loss on disk that nobody was told of.
#[test]
fn what_is_not_kept_is_told_before_that_is_on_disk() {
    let mut world = World::new(8, options(8));
    world.journal().set_quota(Quota { when_used_up: WhenUsedUp::DropNewest, ..quota(&[CLOUD]) });
    for _ in 0..100 {
        keep(&mut world, &[CLOUD]);
    }
    let before = dropped(&world, CLOUD, DropReason::QueueFull);
    let record = world.message(vec![CLOUD.0], 4000);
    world.append(Urgency::Awaited, vec![record]);
    assert_eq!(dropped(&world, CLOUD, DropReason::QueueFull), before + 1);
    world.commit();
    assert_eq!(dropped(&world, CLOUD, DropReason::QueueFull), before + 1, "once");
}

/// The oldest chunk may turn out to hold nothing any more: then the next one gives up what is too much.
#[test]
fn the_oldest_go_behind_what_is_done_already() {
    let mut world = World::new(9, Options { places_max: 0, ..options(9) });
    world.quotas = vec![quota(&[CLOUD])];
    let done = |sequence| Record::Done { consumer: CLOUD, sequence: Sequence(sequence) };
    for _ in 0..3 {
        for _ in 0..5 {
            keep(&mut world, &[CLOUD]);
        }
        world.crash(Tear::LoseAll);
        world.commit();
    }
    world.tend();
    world.append(Urgency::Lingers, (1..=5).map(done).collect());
    let many = (0..50).map(|_| world.message(vec![CLOUD.0], 4000)).collect();
    world.append(Urgency::Awaited, many);
    world.commit();
    let (messages, bytes) = owed(&mut world, CLOUD);
    assert!(bytes <= SHARE, "{messages} messages, {bytes} bytes");
    assert_eq!(messages + dropped(&world, CLOUD, DropReason::QueueFull), 60);
}

/// Of the queues that share, the first gives up everything before the second gives up anything.
#[test]
fn the_least_urgent_queue_gives_up_first() {
    let mut world = World::new(4, options(4));
    world.journal().set_quota(quota(&[OTHER, CLOUD]));
    for _ in 0..20 {
        keep(&mut world, &[CLOUD]);
    }
    for _ in 0..100 {
        keep(&mut world, &[OTHER]);
    }
    assert_eq!(owed(&mut world, CLOUD).0, 20);
    assert_eq!(dropped(&world, CLOUD, DropReason::QueueFull), 0);
    let (messages, bytes) = owed(&mut world, OTHER);
    assert!(messages < 100 && bytes <= SHARE);
    assert_eq!(messages + dropped(&world, OTHER, DropReason::QueueFull), 100);
}

/// What is too old for one may not be for another.
#[test]
fn each_has_an_age_of_its_own() {
    let mut world = World::new(5, options(5));
    let max_age = Some(Duration::from_secs(60));
    world.journal().set_quota(Quota { max_bytes: None, max_age, ..quota(&[CLOUD]) });
    for _ in 0..100 {
        keep(&mut world, &[CLOUD, OTHER]);
        world.pass(Duration::from_secs(1));
    }
    world.tend();
    let held = world.load_all(CLOUD, true);
    assert!((59..=61).contains(&held.len()), "{} stay", held.len());
    assert_eq!(held.last().unwrap().0, Sequence(100));
    assert_eq!(held.len() as u64 + dropped(&world, CLOUD, DropReason::TooOld), 100);
    assert_eq!(owed(&mut world, OTHER).0, 100);
}

/// Nothing that is said of a spared message comes to disk, not even that it was too much for somebody.
#[test]
fn what_was_too_much_for_one_and_spared_by_another_may_be_given_again() {
    let mut world = World::new(6, options(6));
    world.journal().set_quota(Quota { when_used_up: WhenUsedUp::DropNewest, ..quota(&[OTHER]) });
    for _ in 0..30 {
        keep(&mut world, &[OTHER]);
    }
    world.let_ahead(&[CLOUD]);
    let record = world.message(vec![CLOUD.0, OTHER.0], 10);
    let sequence = Sequence(world.next_sequence.0 - 1);
    world.append(Urgency::Lingers, vec![record]);
    let done = Record::Done { consumer: CLOUD, sequence };
    world.append(Urgency::Lingers, vec![done]);
    assert_eq!(world.journal().sizes().spared, 1);
    world.append(Urgency::Awaited, vec![Record::WindowForgotten { consumer: CLOUD }]);
    world.commit();
    world.crash(Tear::LoseAll);
    world.commit();
    let record = world.message(vec![OTHER.0], 10);
    assert_eq!(Sequence(world.next_sequence.0 - 1), sequence);
    world.append(Urgency::Awaited, vec![record]);
    world.commit();
    world.crash(Tear::LoseAll);
    world.commit();
    assert_eq!(world.load_all(OTHER, true).last().unwrap().0, sequence);
}
