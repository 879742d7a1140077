//! Persistent sessions and their queues in the journal: in order, within the window, over reconnects and crashes.

use super::world::*;
use crate::durable::{ConsumerId, DropReason};
use crate::limits::Limits;

const AWAY: ConsumerId = ConsumerId(1);

/// A world in which `away` wants `t` at QoS 2 and is away, and a publisher.
fn away(login: Login) -> (World, crate::broker::ConnectionId) {
    let mut world = World::new();
    let client = world.join(login);
    world.subscribe(client, "t", 2);
    world.leave(client);
    let publisher = world.join(Login::v311("p"));
    (world, publisher)
}

/// A backlog is sent within the receive maximum, in order, and gone when it is acknowledged.
#[test]
fn a_backlog_flows_within_the_window() {
    let (mut world, publisher) = away(Login::v5("away").persistent());
    for number in 1..=100 {
        world.send(publisher, qos1("t", number, &format!("{number}")));
    }
    assert_eq!(world.journal.owed(AWAY).len(), 100);
    let client = world.connect(Login::v5("away").persistent().receive_maximum(3));
    world
        .hears(client, ["connack 00 present", "publish t q1 #1 1", "publish t q1 #2 2", "publish t q1 #3 3"]);
    for number in 1..=100 {
        world.send(client, puback(number));
        let next = number + 3;
        let expected = if next <= 100 { vec![format!("publish t q1 #{next} {next}")] } else { vec![] };
        assert_eq!(world.heard(client), expected);
    }
    assert_eq!(world.journal.owed(AWAY), [""; 0]);
    // Caught up: what comes now is passed on as it comes.
    world.journal.slow = true;
    world.send(publisher, qos1("t", 1, "live"));
    world.hears(client, ["publish t q1 #101 live"]);
}

/// What comes while the backlog is read waits behind it `[MQTT-4.6.0-5]`.
#[test]
fn new_messages_queue_behind_the_backlog() {
    let (mut world, publisher) = away(Login::v311("away").persistent());
    world.send(publisher, qos1("t", 1, "old"));
    world.journal.slow = true;
    let client = world.connect(Login::v311("away").persistent());
    world.send(publisher, qos1("t", 2, "new"));
    world.hears(client, ["connack 00 present"]);
    world.answer_loads();
    world.hears(client, ["publish t q1 #1 old", "publish t q1 #2 new"]);
}

/// An answer of the journal that belongs to an earlier connection does not confuse the next one.
#[test]
fn a_stale_answer_of_the_journal_is_not_used() {
    let (mut world, publisher) = away(Login::v311("away").persistent());
    for number in 1..=3 {
        world.send(publisher, qos1("t", number, &format!("{number}")));
    }
    let client = world.connect(Login::v5("away").persistent().receive_maximum(2));
    world.hears(client, ["connack 00 present", "publish t q1 #1 1", "publish t q1 #2 2"]);
    world.lose(client);
    world.journal.slow = true;
    let client = world.connect(Login::v311("away").persistent());
    world.lose(client);
    let client = world.connect(Login::v311("away").persistent());
    world.answer_loads();
    world.answer_loads();
    world.hears(
        client,
        ["connack 00 present", "publish t q1 #1 dup 1", "publish t q1 #2 dup 2", "publish t q1 #3 3"],
    );
    world.lose(client);
    // The client gone for good while the journal answers.
    let client = world.connect(Login::v311("away"));
    world.answer_loads();
    world.hears(client, ["connack 00"]);
}

/// QoS 2 goes on over every cut, at whatever step, and arrives once.
#[test]
fn qos2_goes_on_after_every_cut() {
    for crash in [false, true] {
        let (mut world, publisher) = away(Login::v311("away").persistent());
        world.send(publisher, qos2("t", 1, "x"));
        let again = |world: World, client| {
            let mut world = if crash { world.crash() } else { world };
            if !crash {
                world.lose(client);
            }
            let client = world.connect(Login::v311("away").persistent());
            (world, client)
        };
        let client = world.connect(Login::v311("away").persistent());
        world.hears(client, ["connack 00 present", "publish t q2 #1 x"]);
        let (mut world, client) = again(world, client);
        world.hears(client, ["connack 00 present", "publish t q2 #1 dup x"]);
        world.send(client, pubrec(1));
        world.hears(client, ["pubrel #1"]);
        let (mut world, client) = again(world, client);
        world.hears(client, ["connack 00 present", "pubrel #1"]);
        world.send(client, pubcomp(1));
        let (mut world, client) = again(world, client);
        world.hears(client, ["connack 00 present"]);
    }
}

/// The connection ends while an identifier, or a release, is on its way to the disk.
#[test]
fn a_cut_while_the_disk_is_awaited_loses_nothing() {
    for back_before_commit in [false, true] {
        let (mut world, publisher) = away(Login::v311("away").persistent());
        world.send(publisher, qos2("t", 1, "x"));
        world.commits = false;
        let login = || Login::v5("away").persistent();
        let client = world.connect(login());
        world.lose(client);
        let reconnect = |world: &mut World| {
            if back_before_commit {
                let client = world.connect(login());
                world.hears(client, ["connack 00 present"]);
                world.commit();
                client
            } else {
                world.commit();
                let client = world.connect(login());
                assert_eq!(world.heard(client)[0], "connack 00 present");
                world.lose(client);
                let client = world.connect(login());
                let heard = world.heard(client);
                assert_eq!(heard[0], "connack 00 present");
                world.lose(client);
                world.connect(login())
            }
        };
        let client = reconnect(&mut world);
        let heard = world.heard(client);
        let last = heard.last().unwrap();
        assert!(last == "publish t q2 #1 x" || last == "publish t q2 #1 dup x", "{heard:?}");
        world.send(client, pubrec(1));
        world.lose(client);
        let client = reconnect(&mut world);
        let heard = world.heard(client);
        assert_eq!(heard.last().unwrap(), "pubrel #1", "{heard:?}");
        world.send(client, pubcomp(1));
        assert_eq!(world.journal.owed(AWAY), [""; 0]);
    }
}

/// An identifier that comes to the disk after the client came back does not let its message overtake what was open
/// before it; what was never sent has no DUP `[MQTT-3.3.1-1]`.
#[test]
fn what_was_open_is_sent_again_in_order() {
    let (mut world, publisher) = away(Login::v311("away").persistent());
    world.commits = false;
    let client = world.connect(Login::v311("away").persistent());
    world.send(publisher, qos2("t", 1, "first"));
    world.commit();
    world.lose(client);
    // The identifier of the first is on disk, its PUBLISH not sent; that of the second is on its way.
    world.commit();
    let client = world.connect(Login::v311("away").persistent());
    world.send(publisher, qos2("t", 2, "second"));
    world.commit();
    world.lose(client);
    world.journal.slow = true;
    let client = world.connect(Login::v311("away").persistent());
    world.commit();
    world.journal.slow = false;
    world.answer_loads();
    let heard = world.heard(client);
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[1].ends_with(" first") && heard[2] == "publish t q2 #2 second", "{heard:?}");
}

/// A client that comes back with a smaller receive maximum is sent no more than that at once.
#[test]
fn a_smaller_window_is_kept_when_sending_again() {
    let (mut world, publisher) = away(Login::v5("away").persistent());
    for number in 1..=5 {
        world.send(publisher, qos1("t", number, &format!("{number}")));
    }
    let client = world.connect(Login::v5("away").persistent().receive_maximum(5));
    assert_eq!(world.heard(client).len(), 6);
    world.lose(client);
    let client = world.connect(Login::v5("away").persistent().receive_maximum(2));
    world.hears(client, ["connack 00 present", "publish t q1 #1 dup 1", "publish t q1 #2 dup 2"]);
    world.send(client, puback(2));
    world.hears(client, ["publish t q1 #3 dup 3"]);
}

/// The journal gives up messages, open ones too: their identifiers are free again.
#[test]
fn what_the_journal_gave_up_blocks_nothing() {
    let (mut world, publisher) = away(Login::v5("away").persistent());
    for number in 1..=4 {
        world.send(publisher, qos1("t", number, &format!("{number}")));
    }
    let login = || Login::v5("away").persistent().receive_maximum(2);
    let client = world.connect(login());
    assert_eq!(world.heard(client).len(), 3);
    world.lose(client);
    world.journal.give_up(AWAY, 3);
    world.feed(crate::broker::Input::Dropped { consumer: AWAY, count: 3 });
    let client = world.connect(login());
    world.hears(client, ["connack 00 present", "publish t q1 #3 4"]);
    world.lose(client);
    world.journal.give_up(AWAY, 1);
    let client = world.connect(login());
    world.hears(client, ["connack 00 present"]);
    world.send(publisher, qos1("t", 5, "5"));
    world.hears(client, ["publish t q1 #4 5"]);
}

/// The queue of a persistent session is bounded: what is new is dropped and counted.
#[test]
fn a_persistent_queue_is_bounded() {
    let mut world = World::with(Limits { max_queued_messages: 3, ..Limits::default() });
    let client = world.join(Login::v311("away").persistent());
    world.subscribe(client, "t", 1);
    world.leave(client);
    let publisher = world.join(Login::v311("p"));
    for number in 1..=5 {
        world.send(publisher, qos1("t", number, &format!("{number}")));
        world.hears(publisher, [&*format!("puback #{number}")]);
    }
    assert_eq!(world.dropped(DropReason::QueueFull), 2);
    let client = world.connect(Login::v311("away").persistent());
    assert_eq!(world.heard(client).len(), 4);
    for number in 1..=3 {
        world.send(client, puback(number));
    }
    world.send(publisher, qos1("t", 6, "6"));
    world.hears(client, ["publish t q1 #4 6"]);
}

/// What is larger than the client takes is dropped for it and counted `[MQTT-3.1.2-24]` `[MQTT-3.1.2-25]`.
#[test]
fn too_large_messages_are_not_owed_for_ever() {
    let (mut world, publisher) = away(Login::v5("away").persistent());
    world.send(publisher, qos1("t", 1, &"x".repeat(100)));
    world.send(publisher, qos1("t", 2, "small"));
    let client = world.connect(Login::v5("away").persistent().maximum_packet_size(50));
    world.hears(client, ["connack 00 present", "publish t q1 #1 small"]);
    world.send(publisher, qos1("t", 3, &"x".repeat(100)));
    world.send(publisher, qos2("t", 4, &"x".repeat(100)));
    world.hears(client, []);
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 3);
    assert_eq!(world.journal.owed(AWAY), ["t q1"]);
}

/// An error in PUBACK or PUBREC ends a delivery; it is not sent again.
#[test]
fn a_refused_delivery_is_over() {
    use crate::mqtt::{Acknowledgement, Packet, ReasonCode};
    let (mut world, publisher) = away(Login::v5("away").persistent());
    world.send(publisher, qos1("t", 1, "one"));
    world.send(publisher, qos2("t", 2, "two"));
    let client = world.connect(Login::v5("away").persistent());
    world.heard(client);
    let error = |number| Acknowledgement::new(identifier(number), ReasonCode::PayloadFormatInvalid);
    world.send(client, Packet::PubAck(error(1)));
    world.send(client, Packet::PubRec(error(2)));
    world.hears(client, []);
    assert_eq!(world.dropped(DropReason::Refused), 2);
    assert_eq!(world.journal.owed(AWAY), [""; 0]);
    let client = world.connect(Login::v5("away").persistent());
    world.hears(client, ["connack 00 present"]);
}

/// A session that ends takes what it was owed with it; the journal is told.
#[test]
fn ending_a_session_ends_what_it_is_owed() {
    let (mut world, publisher) = away(Login::v311("away").persistent());
    world.send(publisher, qos1("t", 1, "x"));
    let client = world.connect(Login::v311("away"));
    world.hears(client, ["connack 00"]);
    assert_eq!(world.journal.owed(AWAY), [""; 0]);
    assert!(world.journal.kinds().contains(&"ConsumerClosed".to_owned()));
    let client = world.connect(Login::v311("away").persistent());
    world.hears(client, ["connack 00"]);
}

/// A held QoS 2 message blocks what comes after it for the same session, until it is on disk.
#[test]
fn what_follows_an_uncommitted_qos2_message_stays_behind_it() {
    let mut world = World::new();
    let client = world.join(Login::v311("c").persistent());
    world.subscribe(client, "t", 1);
    let publisher = world.join(Login::v311("p"));
    world.commits = false;
    world.send(publisher, qos2("t", 1, "first"));
    world.send(publisher, qos1("t", 2, "second"));
    world.hears(client, []);
    world.commit();
    world.hears(client, ["publish t q1 #1 first", "publish t q1 #2 second"]);
}
