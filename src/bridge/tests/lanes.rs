//! Queues side by side: priorities, what is live first, rates, many readings in one publish.

use std::time::Duration;

use smallvec::smallvec;

use super::super::{Order, Rate};
use super::world::World;
use crate::durable::MessageBody;
use crate::mqtt::QoS;
use crate::reading::{Reading, SensorName};

const HALF: Order = Order::LiveFirst { backlog_percent: 50 };

fn keep_on(world: &mut World, topic: &str, count: usize) -> Vec<u64> {
    let kept = (0..count).map(|_| world.keep_on(topic, QoS::AtLeastOnce)).collect();
    world.commit();
    kept
}

/// Connects, and nothing more.
fn connect_only(world: &mut World) {
    while world.forwarder.status().connected_since.is_none() {
        if !(world.answer_open() || world.step_cloud() || world.step_gateway()) {
            assert!(world.wait());
        }
    }
}

fn keep_reading(world: &mut World, topic: &str) {
    let reading = Reading {
        sensor: SensorName::parse("air").unwrap(),
        taken_at: world.now,
        rssi: None,
        measurements: smallvec![],
    };
    world.keep_message(topic, QoS::AtLeastOnce, MessageBody::Reading(Box::new(reading)));
    world.commit();
}

#[test]
fn an_alarm_passes_everything_that_waits_and_bulk_goes_last() {
    let mut world = World::with_queues(|_| {});
    let bulk = keep_on(&mut world, "bulk/1", 30);
    let normal = keep_on(&mut world, "t/1", 3000);
    let alarm = keep_on(&mut world, "alarm/1", 30);
    world.connect();
    world.settle();
    let arrived = world.cloud.numbers();
    // What was in memory before the alarms were loaded fills one window.
    let late = arrived.iter().position(|number| *number == alarm[29]).unwrap();
    assert!(late < 30 + 10, "the last alarm came {late}th");
    assert_eq!(arrived.len(), bulk.len() + normal.len() + alarm.len());
    assert_eq!(arrived[arrived.len() - 30..], bulk);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn an_alarm_that_comes_while_a_backlog_drains_waits_for_one_window_at_most() {
    let mut world = World::with_queues(|_| {});
    keep_on(&mut world, "t/1", 2000);
    connect_only(&mut world);
    world.answer_load();
    while world.cloud.arrived.len() < 500 {
        assert!(world.step_cloud() || world.step_gateway() || world.answer_load());
    }
    let before = world.cloud.arrived.len();
    let alarm = keep_on(&mut world, "alarm/1", 1)[0];
    world.settle();
    let at = world.cloud.numbers().iter().position(|number| *number == alarm).unwrap();
    assert!(at - before <= 25, "{} went before it", at - before);
}

#[test]
fn what_is_new_passes_the_backlog_and_leaves_it_its_share() {
    let mut world = World::with_queues(|options| options.order = HALF);
    world.connect();
    world.settle();
    world.break_link();
    let old = keep_on(&mut world, "t/1", 2000);
    connect_only(&mut world);
    world.answer_load();
    while world.cloud.arrived.len() < 200 {
        assert!(world.step_cloud() || world.step_gateway() || world.answer_load());
    }
    let before = world.cloud.arrived.len();
    let new = keep_on(&mut world, "t/1", 100);
    world.settle();
    let arrived = world.cloud.numbers();
    let last_new = arrived.iter().position(|number| *number == new[99]).unwrap();
    let between = &arrived[before + 10..last_new];
    let of_backlog = between.iter().filter(|number| old.contains(number)).count();
    assert!(last_new - before < 260, "the last new one came {} later", last_new - before);
    assert!((80..=140).contains(&of_backlog), "{of_backlog} of the backlog went meanwhile");
    let mut all = arrived;
    all.sort_unstable();
    assert_eq!(all, (1..=2100).collect::<Vec<_>>(), "each came once");
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn what_was_sent_live_is_not_sent_again_with_the_backlog_after_the_next_outage() {
    let mut world = World::with_queues(|options| options.order = HALF);
    world.connect();
    world.settle();
    world.break_link();
    keep_on(&mut world, "t/1", 500);
    connect_only(&mut world);
    world.answer_load();
    let live = keep_on(&mut world, "t/1", 20);
    // Some of it arrives, then the link breaks again, and everything is backlog.
    for _ in 0..60 {
        let _ = world.answer_load() || world.step_cloud() || world.step_gateway();
    }
    world.break_link();
    world.connect();
    world.settle();
    let mut arrived = world.cloud.numbers();
    let sent = arrived.len();
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!(arrived.len(), 520);
    assert!(sent - 520 <= 10, "{} came twice: no more than a window was open", sent - 520);
    assert!(arrived.contains(&live[19]));
}

#[test]
fn live_first_takes_up_qos_2_after_a_crash_without_reading_the_backlog() {
    let mut world = World::with_queues(|options| options.order = HALF);
    world.connect();
    world.settle();
    world.break_link();
    for _ in 0..3000 {
        world.keep_on("t/1", QoS::AtLeastOnce);
    }
    world.commit();
    connect_only(&mut world);
    let live = world.keep_on("t/1", QoS::ExactlyOnce);
    world.commit();
    for _ in 0..6 {
        world.answer_load();
        world.commit();
    }
    while world.step_cloud() {}
    world.crash();
    world.connect();
    world.settle();
    let arrived = world.cloud.numbers();
    assert_eq!(arrived.iter().filter(|number| **number == live).count(), 1);
    assert_eq!(arrived.iter().collect::<std::collections::BTreeSet<_>>().len(), 3001);
    assert!(world.journal.phases().is_empty());
}

#[test]
fn a_rule_with_a_rate_holds_back_its_own_messages_and_nothing_else() {
    let mut world = World::with_queues(|_| {});
    keep_on(&mut world, "slow/1", 100);
    let normal = keep_on(&mut world, "t/1", 500);
    world.connect();
    world.settle();
    let arrived = world.cloud.numbers();
    assert!(normal.iter().all(|number| arrived.contains(number)));
    assert!(arrived.len() - normal.len() <= 4, "{} slow ones went at once", arrived.len() - normal.len());
    for _ in 0..50 {
        world.now.monotonic = world.now.monotonic + Duration::from_millis(100);
        world.settle();
    }
    let slow = world.cloud.numbers().len() - normal.len();
    assert!((50..=54).contains(&slow), "{slow} in 5 s at 10/s");
}

#[test]
fn an_uplink_with_a_rate_sends_no_more_and_sleeps_in_between() {
    let mut world = World::with(|options| {
        options.rate = Some(Rate { messages: 100, per: Duration::from_secs(1) });
    });
    world.keep(1000, QoS::AtLeastOnce);
    world.connect();
    world.settle();
    let start = world.now.monotonic;
    let mut wakes = 0;
    while world.now.monotonic.since(start) < Duration::from_secs(5) {
        assert!(world.wait());
        world.settle();
        wakes += 1;
    }
    let sent = world.cloud.numbers().len();
    assert!((490..=530).contains(&sent), "{sent} in 5 s at 100/s");
    assert!(wakes < 1200, "{wakes} wake-ups");
}

#[test]
fn many_readings_travel_in_one_publish_and_each_is_done() {
    let mut world = World::with_queues(|_| {});
    world.connect();
    for _ in 0..12 {
        keep_reading(&mut world, "many/1");
    }
    world.settle();
    assert_eq!(world.cloud.arrived.len(), 2, "two are full, the rest lingers");
    let first = String::from_utf8(world.cloud.arrived[0].1.to_vec()).unwrap();
    assert_eq!(first.matches("air-").count(), 5, "{first}");
    assert!(first.starts_with("[air-") && first.ends_with(']'));
    world.advance(Duration::from_secs(31));
    world.settle();
    assert_eq!(world.cloud.arrived.len(), 3);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
    assert_eq!(world.forwarder.status().acknowledged, 12);
}

#[test]
fn readings_that_are_too_large_together_go_one_by_one() {
    let mut world = World::with_queues(|options| options.takes.payload_bytes = Some(12));
    world.connect();
    for _ in 0..5 {
        keep_reading(&mut world, "many/1");
    }
    world.settle();
    assert_eq!(world.cloud.arrived.len(), 5);
    assert!(world.dead_letters.is_empty());
}
