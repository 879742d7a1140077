//! Messages at which the server breaks off the connection, and links that only look like it.

use std::time::Duration;

use super::super::{Event, Fault};
use super::world::{World, version_3};
use crate::durable::DropReason;
use crate::mqtt::{Packet, QoS};

/// Lives on until nothing is owed any more, or for so many deadlines.
fn live(world: &mut World, deadlines: usize) {
    for _ in 0..deadlines {
        world.settle();
        if world.journal.owed().is_empty() {
            return;
        }
        world.wait();
    }
}

#[test]
fn a_message_at_which_the_server_always_breaks_off_is_laid_aside_and_blocks_nothing() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::with(version_3);
        world.cloud.poison.insert("7".into());
        world.keep(20, qos);
        live(&mut world, 1000);
        let mut arrived = world.cloud.numbers();
        arrived.dedup();
        let first: Vec<u64> = (1..=20).filter(|number| world.cloud.numbers().contains(number)).collect();
        assert_eq!(first, (1..=20).filter(|number| *number != 7).collect::<Vec<_>>(), "{qos:?}");
        assert!(world.journal.owed().is_empty());
        let letters: Vec<_> = world.dead_letters.iter().map(|letter| letter.payload.clone()).collect();
        assert_eq!(letters, ["7"], "{qos:?}: the innocent are not laid aside");
        assert!(world.dead_letters[0].detail.contains("breaks off the connection"));
        assert_eq!(world.forwarder.status().dropped[&DropReason::Refused], 1);
    }
}

#[test]
fn presence_at_which_the_server_breaks_off_is_told_no_more() {
    let mut world = World::with(|options| {
        version_3(options);
        options.status_topic = Some(crate::mqtt::TopicName::parse("gw/status").unwrap());
    });
    world.cloud.poison.insert("online".into());
    world.keep(5, QoS::AtLeastOnce);
    live(&mut world, 1000);
    assert_eq!(world.cloud.numbers(), [1, 2, 3, 4, 5]);
    assert!(world.dead_letters.is_empty());
}

/// Nothing is wrong with any message: the server is not there for long enough.
#[test]
fn a_link_that_breaks_again_and_again_lays_nothing_aside() {
    let mut world = World::new();
    world.keep(20, QoS::AtLeastOnce);
    for _ in 0..200 {
        world.connect();
        world.take_sent();
        world.break_link();
        world.wait();
    }
    assert!(world.dead_letters.is_empty());
    live(&mut world, 1000);
    assert!(world.journal.owed().is_empty());
}

/// A server that wants nothing at all does not get rid of messages by breaking off.
#[test]
fn a_server_that_does_not_even_answer_a_ping_is_not_taken_for_one_that_dislikes_a_message() {
    let mut world = World::new();
    world.keep(3, QoS::AtLeastOnce);
    for _ in 0..50 {
        for _ in 0..100 {
            world.answer_open();
            world.answer_load();
            // It greets, and that is all.
            while matches!(world.to_cloud.front(), Some(Packet::Connect(_))) {
                world.step_cloud();
            }
            world.step_gateway();
            if world.forwarder.status().connected_since.is_some() {
                break;
            }
            world.wait();
        }
        world.answer_load();
        world.now.monotonic = world.now.monotonic + Duration::from_secs(1);
        world.break_link();
        world.wait();
    }
    assert!(world.dead_letters.is_empty());
    let broken = |event: &&Event| matches!(event, Event::Disconnected { fault: Fault::Closed(_) });
    assert!(world.events.iter().filter(broken).count() >= 50);
}
