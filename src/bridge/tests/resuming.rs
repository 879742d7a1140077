//! What is sent again when a connection, a session or the gateway itself was lost.

use super::super::Input;
use super::world::{World, ack, version_3};
use crate::durable::{OutboundPhase, Record};
use crate::mqtt::{Packet, QoS, ReasonCode};

#[test]
fn a_kept_session_gets_open_publishes_again_with_dup_in_order_and_the_same_identifiers() {
    // [MQTT-4.4.0-1] [MQTT-3.3.1-1]
    let mut world = World::new();
    world.connect();
    world.keep(4, QoS::AtLeastOnce);
    world.answer_load();
    world.input(Input::Packets(vec![Packet::PubAck(ack(2, ReasonCode::Success))]));
    world.take_sent();
    world.break_link();
    world.keep(1, QoS::AtLeastOnce);
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "P1d P3d P4d P5");
    assert_eq!(world.forwarder.status().possible_duplicates, 3);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn at_qos_2_a_kept_session_gets_publishes_or_releases_again_and_nothing_arrives_twice() {
    let mut world = World::new();
    world.connect();
    world.keep(3, QoS::ExactlyOnce);
    world.answer_load();
    world.commit();
    // The server takes all three; the answer to the second is lost.
    while world.step_cloud() {}
    world.step_gateway();
    world.commit();
    world.take_sent();
    world.break_link();
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "R1 P2d P3d R2 R3");
    assert_eq!(world.cloud.numbers(), [1, 2, 3]);
    assert_eq!(world.forwarder.status().possible_duplicates, 0);
}

#[test]
fn what_was_committed_while_the_link_was_down_is_sent_for_the_first_time_without_dup() {
    let mut world = World::new();
    world.connect();
    world.keep(2, QoS::ExactlyOnce);
    world.answer_load();
    world.break_link();
    world.take_sent();
    world.commit();
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "P1 P2 R1 R2");
}

#[test]
fn a_release_that_was_committed_while_the_link_was_down_is_sent_on_the_next_connection() {
    let mut world = World::new();
    world.connect();
    world.keep(1, QoS::ExactlyOnce);
    world.answer_load();
    world.commit();
    world.step_cloud();
    world.step_gateway();
    world.take_sent();
    world.break_link();
    world.commit();
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "R1");
    assert_eq!(world.cloud.numbers(), [1]);
}

#[test]
fn when_the_session_is_lost_released_ones_are_done_and_the_rest_is_owed_anew() {
    let mut world = World::new();
    world.connect();
    world.keep(3, QoS::ExactlyOnce);
    world.answer_load();
    world.commit();
    // All are taken; the server's answer to the first arrives, the others are lost.
    while world.step_cloud() {}
    world.step_gateway();
    world.commit();
    world.break_link();
    world.cloud.forget();
    world.journal.appended.clear();
    world.connect();
    world.settle();
    let consumer = super::world::CONSUMER;
    let first = world.journal.appended.first().unwrap();
    assert!(matches!(first, Record::Done { sequence, .. } if sequence.0 == 1), "{first:?}");
    assert_eq!(world.journal.appended[1], Record::WindowForgotten { consumer });
    assert_eq!(world.cloud.numbers(), [1, 2, 3, 2, 3], "duplicates are allowed here");
    assert_eq!(world.forwarder.status().possible_duplicates, 2, "and counted");
    assert_eq!(world.journal.owed(), [0_u64; 0]);
    assert!(world.journal.phases().is_empty());
}

#[test]
fn when_the_session_is_lost_at_qos_1_the_window_is_sent_anew_without_dup_and_counted() {
    let mut world = World::with(version_3);
    world.connect();
    world.keep(3, QoS::AtLeastOnce);
    world.answer_load();
    world.break_link();
    world.cloud.forget();
    world.take_sent();
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "P1 P2 P3");
    assert_eq!(world.forwarder.status().possible_duplicates, 3);
    let forgotten = |record: &&Record| matches!(record, Record::WindowForgotten { .. });
    assert_eq!(world.journal.appended.iter().filter(forgotten).count(), 0, "the disk knew no identifier");
}

#[test]
fn repetitions_respect_a_receive_maximum_that_became_smaller() {
    let mut world = World::new();
    world.connect();
    world.keep(8, QoS::ExactlyOnce);
    world.answer_load();
    world.commit();
    world.break_link();
    world.cloud.connack.receive_maximum = std::num::NonZeroU16::new(2);
    world.connect();
    world.settle();
    assert!(world.cloud.most_open <= 2, "{}", world.cloud.most_open);
    assert_eq!(world.cloud.numbers(), (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_server_that_takes_no_qos_2_any_more_gets_what_was_open_anew() {
    let mut world = World::new();
    world.connect();
    world.keep(3, QoS::ExactlyOnce);
    world.answer_load();
    world.commit();
    world.break_link();
    world.cloud.connack.maximum_qos = Some(QoS::AtLeastOnce);
    world.connect();
    world.settle();
    assert_eq!(world.cloud.numbers(), [1, 2, 3]);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
    assert!(world.journal.phases().is_empty());
}

/// How far a QoS 2 delivery came when the gateway was killed.
#[derive(Debug, Clone, Copy)]
enum Killed {
    Loaded,
    AssignedNotCommitted,
    AssignedCommitted,
    PublishTaken,
    PubRecHeard,
    ReleaseCommitted,
    ReleaseTaken,
    DoneNotCommitted,
}

#[test]
fn after_kill_9_in_any_phase_qos_2_arrives_exactly_once() {
    use Killed::*;
    let phases = [
        Loaded,
        AssignedNotCommitted,
        AssignedCommitted,
        PublishTaken,
        PubRecHeard,
        ReleaseCommitted,
        ReleaseTaken,
        DoneNotCommitted,
    ];
    for (steps_done, killed) in phases.into_iter().enumerate() {
        let mut world = World::new();
        world.connect();
        world.keep(1, QoS::ExactlyOnce);
        let steps: [fn(&mut World); 8] = [
            |_| {},
            |world| assert!(world.answer_load()),
            World::commit,
            |world| assert!(world.step_cloud()),
            |world| assert!(world.step_gateway()),
            World::commit,
            |world| assert!(world.step_cloud()),
            |world| assert!(world.step_gateway()),
        ];
        for step in &steps[..=steps_done] {
            step(&mut world);
        }
        let on_disk = world.journal.phases();
        match killed {
            Loaded | AssignedNotCommitted => assert_eq!(on_disk, []),
            AssignedCommitted | PublishTaken | PubRecHeard => {
                assert_eq!(on_disk, [(1, OutboundPhase::Published)]);
            }
            ReleaseCommitted | ReleaseTaken | DoneNotCommitted => {
                assert_eq!(on_disk, [(1, OutboundPhase::Released)]);
            }
        }
        world.crash();
        world.keep(2, QoS::ExactlyOnce);
        world.connect();
        world.settle();
        assert_eq!(world.cloud.numbers(), [1, 2, 3], "killed at {killed:?}");
        assert_eq!(world.journal.owed(), [0_u64; 0], "killed at {killed:?}");
        assert_eq!(world.forwarder.status().possible_duplicates, 0, "killed at {killed:?}");
    }
}

#[test]
fn after_kill_9_qos_1_arrives_at_least_once_and_what_may_be_double_is_counted() {
    let mut world = World::new();
    world.connect();
    world.keep(30, QoS::AtLeastOnce);
    world.answer_load();
    for _ in 0..5 {
        world.step_cloud();
        world.step_gateway();
    }
    world.crash();
    world.connect();
    world.settle();
    let mut numbers = world.cloud.numbers();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    assert_eq!(world.forwarder.status().possible_duplicates, 10, "one window");
}

#[test]
fn after_kill_9_mixed_qualities_keep_their_order() {
    let mut world = World::new();
    world.connect();
    for qos in [QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
        world.keep_on("t", qos);
    }
    world.commit();
    world.answer_load();
    world.commit();
    assert_eq!(world.sent_briefly(), "P1 P2 P3 P4 P0");
    world.crash();
    world.keep(1, QoS::AtLeastOnce);
    world.connect();
    world.settle();
    let at_least_once: Vec<_> = world.cloud.numbers().into_iter().filter(|number| *number != 5).collect();
    assert_eq!(at_least_once, [1, 2, 3, 4, 6]);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn a_window_larger_than_one_load_is_restored_before_anything_is_sent() {
    let mut world = World::with(|options| options.window = 3000);
    world.connect();
    world.keep(3000, QoS::ExactlyOnce);
    for _ in 0..10 {
        world.answer_load();
        world.commit();
    }
    assert_eq!(world.journal.phases().len(), 3000);
    world.crash();
    world.input(Input::Timeout);
    assert!(!world.opening && world.forwarder.next_timeout().is_none(), "the journal is to be read first");
    world.take_sent();
    world.connect();
    world.settle();
    assert_eq!(world.cloud.numbers(), (1..=3000).collect::<Vec<_>>());
}

#[test]
fn an_open_message_that_the_journal_dropped_meanwhile_is_released_so_that_its_identifier_is_free() {
    let mut world = World::new();
    world.connect();
    world.keep(2, QoS::ExactlyOnce);
    world.answer_load();
    world.commit();
    while world.step_cloud() {}
    world.journal.lose(1);
    world.crash();
    world.take_sent();
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "R1 P2d R2");
    world.keep(2, QoS::ExactlyOnce);
    world.settle();
    assert_eq!(world.cloud.numbers(), [1, 2, 3, 4]);
}

/// A message goes up at QoS 2; the process is killed when it has written, not committed, that it has its identifier
/// (`taken`: that the server took it). The disk is dead from then on.
fn killed_before_the_disk_had_it(taken: bool) -> World {
    let mut world = World::with_queues(|_| {});
    world.connect();
    world.keep_on("bulk/1", QoS::ExactlyOnce);
    world.commit();
    world.answer_load();
    if taken {
        world.commit();
        world.step_cloud();
        world.step_gateway();
    }
    world.kill();
    world.take_sent();
    world.journal.is_dead = true;
    world
}

#[test]
fn a_release_that_a_killed_run_may_not_have_brought_to_disk_is_not_sent_before_this_run_has_committed() {
    let mut world = killed_before_the_disk_had_it(true);
    world.connect();
    world.break_link();
    world.connect();
    assert_eq!(world.sent_briefly(), "");
    // The power cut takes the record: it goes up once more, which the server must know for a repetition.
    world.crash();
    world.journal.is_dead = false;
    world.connect();
    world.settle();
    assert_eq!(world.cloud.numbers(), [1]);
    assert_eq!(world.sent_briefly(), "P1d R1");
}

#[test]
fn an_identifier_that_a_killed_run_may_not_have_brought_to_disk_is_not_used_before_this_run_has_committed() {
    let mut world = killed_before_the_disk_had_it(false);
    world.connect();
    assert_eq!(world.sent_briefly(), "");
    world.crash();
    // The power cut takes the record: the identifier is given to another, which the server must not know.
    world.journal.is_dead = false;
    world.keep_on("alarm/1", QoS::ExactlyOnce);
    world.commit();
    world.connect();
    world.settle();
    assert_eq!(world.cloud.numbers(), [2, 1]);
}

#[test]
fn what_a_killed_run_left_open_goes_on_with_the_first_commit_of_this_one_and_before_what_is_new() {
    let mut world = killed_before_the_disk_had_it(true);
    world.keep_on("bulk/2", QoS::ExactlyOnce);
    world.connect();
    world.settle();
    assert_eq!(world.sent_briefly(), "");
    world.journal.appended.clear();
    world.journal.is_dead = false;
    world.settle();
    assert_eq!(world.sent_briefly(), "R1 P2 R2");
    assert_eq!(world.cloud.numbers(), [1, 2]);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}
