//! What waits for the disk, and what does not: an acknowledgement promises that the record is on it, nothing else
//! waits.

use std::time::Duration;

use super::world::*;
use crate::durable::{DropReason, JournalHealth, Record, Urgency};
use crate::mqtt::QoS;

/// A world with a persistent session, away, that wants `t/#` at QoS 2; from now on nothing is committed by itself.
fn owing() -> World {
    let mut world = World::new();
    let away = world.join(Login::v311("away").persistent());
    world.subscribe(away, "t/#", 2);
    world.leave(away);
    world.commits = false;
    world
}

/// PUBACK, PUBREC and PUBCOMP wait exactly when something durable was appended for them.
#[test]
fn acknowledgements_wait_when_something_durable_was_appended() {
    let mut world = owing();
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, qos1("other", 1, "nobody durable"));
    world.hears(publisher, ["puback #1 10"]);
    world.send(publisher, qos1("t/1", 2, "kept"));
    world.send(publisher, qos2("t/2", 3, "kept"));
    world.hears(publisher, []);
    world.commit();
    world.hears(publisher, ["puback #2", "pubrec #3"]);
    // The publisher's session is not persistent: its release is not on disk, and nobody waits.
    world.send(publisher, pubrel(3));
    world.hears(publisher, ["pubcomp #3"]);
}

/// A persistent publisher's QoS 2 identifiers are on disk too.
#[test]
fn the_identifiers_of_a_persistent_publisher_survive() {
    let mut world = World::new();
    world.commits = false;
    let publisher = world.connect(Login::v311("p").persistent());
    world.commit();
    let subscriber = world.join(Login::v311("s"));
    world.subscribe(subscriber, "t", 2);
    world.hears(publisher, ["connack 00"]);
    world.send(publisher, qos2("t", 5, "x"));
    world.hears(publisher, []);
    world.hears(subscriber, []);
    world.commit();
    world.hears(publisher, ["pubrec #5"]);
    world.hears(subscriber, ["publish t q2 #1 x"]);

    // The PUBREC was lost with the gateway: the repetition is known.
    let mut world = world.crash();
    let subscriber = world.join(Login::v311("s"));
    world.subscribe(subscriber, "t", 2);
    let publisher = world.connect(Login::v311("p").persistent());
    world.commit();
    world.hears(publisher, ["connack 00 present"]);
    world.send(publisher, qos2("t", 5, "x"));
    world.hears(publisher, ["pubrec #5"]);
    world.hears(subscriber, []);
    world.send(publisher, pubrel(5));
    world.hears(publisher, []);
    world.commit();
    world.hears(publisher, ["pubcomp #5"]);

    // Released: the identifier is free for another message.
    let mut world = world.crash();
    world.commits = true;
    let subscriber = world.join(Login::v311("s"));
    world.subscribe(subscriber, "t", 2);
    let publisher = world.join(Login::v311("p").persistent());
    world.send(publisher, qos2("t", 5, "y"));
    world.hears(publisher, ["pubrec #5"]);
    world.hears(subscriber, ["publish t q2 #1 y"]);
}

/// An answer never overtakes an earlier one of the same connection `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`; those of
/// others need not wait.
#[test]
fn the_order_of_answers_is_kept() {
    let mut world = owing();
    let publisher = world.join(Login::v311("p"));
    let other = world.join(Login::v311("o"));
    world.send(publisher, qos1("t", 1, "kept"));
    world.send(publisher, qos1("other", 2, "nobody durable"));
    world.send(publisher, subscribe(3, &[("x", options(1))]));
    world.send(publisher, unsubscribe(4, &["x"]));
    world.send(other, qos1("other", 1, "at once"));
    world.send(publisher, crate::mqtt::Packet::PingReq);
    world.hears(publisher, ["pingresp"]);
    world.hears(other, ["puback #1"]);
    world.commit();
    world.hears(publisher, ["puback #1", "puback #2", "suback #3 01", "unsuback #4 00"]);
}

/// Live subscribers get QoS 0 and 1 before the commit; an inbound QoS 2 message goes on after it.
#[test]
fn live_delivery_does_not_wait_but_for_qos2() {
    let mut world = owing();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "t/#", 2);
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos1("t/1", 1, "one"));
    world.send(publisher, qos2("t/2", 2, "two"));
    world.send(publisher, qos0("t/0", "zero"));
    world.hears(live, ["publish t/1 q1 #1 one", "publish t/0 q0 zero"]);
    world.commit();
    world.hears(live, ["publish t/2 q2 #2 two"]);
}

/// A QoS 2 message that has nothing to wait for does not overtake an earlier one that has `[MQTT-4.6.0-6]`; those of
/// other publishers need not wait.
#[test]
fn a_qos2_message_does_not_overtake_an_earlier_one() {
    let mut world = World::new();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "#", 2);
    let publisher = world.join(Login::v311("p"));
    let other = world.join(Login::v311("o"));
    world.commits = false;
    world.send(publisher, retained("t", 2, 1, "on disk first"));
    world.send(publisher, qos2("t", 2, "behind it"));
    world.send(other, qos2("t", 1, "of another"));
    world.hears(live, ["publish t q2 #1 of another"]);
    world.commit();
    world.hears(live, ["publish t q2 #2 on disk first", "publish t q2 #3 behind it"]);
    world.hears(publisher, ["pubrec #1", "pubrec #2"]);
    world.send(publisher, qos2("t", 3, "at once"));
    world.hears(live, ["publish t q2 #4 at once"]);
}

/// A client stays the same publisher when its session ends and it comes back with a new one `[MQTT-4.6.0-6]`; its will
/// is a message like the others.
#[test]
fn what_a_client_publishes_does_not_overtake_what_it_published_in_its_last_session() {
    let mut world = World::new();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "#", 2);
    let publisher = world.join(Login::v5("p").will("t", 2, 0));
    world.commits = false;
    world.send(publisher, retained("t", 2, 1, "on disk first"));
    world.lose(publisher);
    // Its place is another's now.
    let other = world.join(Login::v311("o"));
    let publisher = world.join(Login::v311("p"));
    let before = world.broker.uncommitted_bytes();
    world.send(publisher, qos2("t", 1, "behind it"));
    assert!(
        world.broker.uncommitted_bytes() > before,
        "what waits counts, so that nobody sends more and more of it"
    );
    world.hears(publisher, []);
    world.send(other, qos2("t", 1, "of another"));
    world.hears(live, ["publish t q2 #1 of another"]);
    world.commit();
    assert_eq!(world.broker.uncommitted_bytes(), 0);
    world.hears(live, ["publish t q2 #2 on disk first", "publish t q2 #3 gone", "publish t q2 #4 behind it"]);
    world.hears(publisher, ["pubrec #1"]);
    world.send(publisher, qos2("t", 2, "at once"));
    world.hears(live, ["publish t q2 #5 at once"]);
}

/// SUBACK, UNSUBACK and CONNACK wait where a persistent session changes, and only there.
#[test]
fn changes_of_persistent_sessions_are_on_disk_before_they_are_acknowledged() {
    let mut world = World::new();
    world.commits = false;
    let plain = world.connect(Login::v311("plain"));
    world.send(plain, subscribe(1, &[("t", options(1))]));
    world.hears(plain, ["connack 00", "suback #1 01"]);

    let client = world.connect(Login::v311("c").persistent());
    world.send(client, subscribe(1, &[("t", options(1))]));
    world.send(client, crate::mqtt::Packet::PingReq);
    world.hears(client, []);
    world.commit();
    world.hears(client, ["connack 00", "suback #1 01", "pingresp"]);
    world.send(client, unsubscribe(2, &["t"]));
    world.hears(client, []);
    world.commit();
    world.hears(client, ["unsuback #2 00"]);
    world.lose(client);
    // Going on with what is on disk needs no commit; clearing it does.
    let client = world.connect(Login::v311("c").persistent());
    world.hears(client, ["connack 00 present"]);
    world.lose(client);
    let client = world.connect(Login::v311("c"));
    world.hears(client, []);
    world.commit();
    world.hears(client, ["connack 00"]);
}

/// Session present must not lie: a session that is not yet on disk is not told to be there.
#[test]
fn a_session_that_is_not_on_disk_is_not_present() {
    let mut world = World::new();
    world.commits = false;
    let first = world.connect(Login::v311("c").persistent());
    let second = world.connect(Login::v311("c").persistent());
    world.hears(first, ["closed TakenOver"]);
    world.hears(second, []);
    world.commit();
    world.hears(second, ["connack 00 present"]);
}

/// Before CONNACK nothing is sent: what comes meanwhile waits for it.
#[test]
fn nothing_comes_before_connack() {
    let mut world = World::new();
    world.commits = false;
    let client = world.connect(Login::v5("c").expiry(10));
    world.send(client, subscribe(1, &[("t", options(1))]));
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos0("t", "zero"));
    world.send(publisher, qos1("t", 1, "one"));
    world.hears(client, []);
    world.commit();
    world.hears(client, ["connack 00", "publish t q0 zero", "suback #1 01", "publish t q1 #1 one"]);
}

/// The repetition of a QoS 2 message on a new connection is not answered before the first one is on disk.
#[test]
fn a_repetition_waits_for_the_first() {
    let mut world = World::new();
    let publisher = world.join(Login::v311("p").persistent());
    world.commits = false;
    world.send(publisher, qos2("t", 1, "x"));
    world.lose(publisher);
    let publisher = world.connect(Login::v311("p").persistent());
    world.hears(publisher, ["connack 00 present"]);
    world.send(publisher, qos2("t", 1, "x"));
    world.hears(publisher, []);
    world.commit();
    world.hears(publisher, ["pubrec #1"]);
    world.send(publisher, pubrel(1));
    world.lose(publisher);
    let publisher = world.join(Login::v311("p").persistent());
    world.send(publisher, pubrel(1));
    world.hears(publisher, []);
    world.commit();
    world.hears(publisher, ["pubcomp #1 92"]);
}

/// Towards a persistent subscriber: PUBLISH of QoS 2 waits for its identifier, PUBREL for its phase, QoS 1 for
/// nothing.
#[test]
fn an_outbound_identifier_and_release_are_on_disk_before_they_are_used() {
    let mut world = World::new();
    let subscriber = world.join(Login::v311("s").persistent());
    world.subscribe(subscriber, "t", 2);
    let publisher = world.join(Login::v311("p"));
    world.commits = false;
    world.send(publisher, qos1("t", 1, "one"));
    world.hears(subscriber, ["publish t q1 #1 one"]);
    world.send(publisher, qos2("t", 2, "two"));
    world.commit();
    world.hears(publisher, ["puback #1", "pubrec #2"]);
    world.hears(subscriber, []);
    world.commit();
    world.hears(subscriber, ["publish t q2 #2 two"]);
    world.send(subscriber, pubrec(2));
    world.hears(subscriber, []);
    world.commit();
    world.hears(subscriber, ["pubrel #2"]);
}

/// A dead disk: what needs no record goes on; what needs one is neither acknowledged nor handed out. When the disk
/// is back, whoever was left waiting is disconnected, and repeats.
#[test]
fn a_dead_disk_withholds_acknowledgements() {
    let mut world = owing();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "#", 1);
    let publisher = world.join(Login::v5("p"));
    let other = world.join(Login::v5("o"));
    world.health(JournalHealth::Dead);
    world.send(publisher, qos1("t/1", 1, "withheld"));
    world.send(publisher, qos2("t/2", 2, "withheld"));
    world.send(publisher, qos0("t/0", "live"));
    world.send(publisher, qos1("x", 3, "behind what is withheld"));
    world.send(other, qos1("x", 1, "nobody durable"));
    world.hears(publisher, []);
    world.hears(other, ["puback #1"]);
    world.hears(live, ["publish t/0 q0 live", "publish x q1 #1 nobody durable"]);
    world.health(JournalHealth::Accepting);
    world.hears(publisher, ["disconnect 89", "closed Refused(ServerBusy)"]);
    world.hears(other, []);
    world.commits = true;
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, qos1("t/1", 1, "again"));
    world.hears(publisher, ["puback #1"]);
}

/// What an earlier run wrote last may be known from memory only, which a power cut takes: nobody is told that a session
/// is there before something of this run is on disk, behind it; and nobody at all while that cannot be.
#[test]
fn an_earlier_run_is_relied_upon_when_this_one_has_committed() {
    let mut world = World::new();
    world.join(Login::v5("c").persistent());
    let mut world = world.crash();
    world.commits = false;
    world.health(JournalHealth::Dead);
    let client = world.connect(Login::v5("c").persistent());
    world.hears(client, ["connack 88", "closed Refused(ServerUnavailable)"]);
    world.health(JournalHealth::Accepting);
    let client = world.connect(Login::v5("c").persistent());
    world.hears(client, []);
    world.commit();
    world.hears(client, ["connack 00 present"]);
    // From now on a dead disk is no reason any more.
    world.lose(client);
    world.health(JournalHealth::Dead);
    let client = world.connect(Login::v5("c").persistent());
    world.hears(client, ["connack 00 present"]);
}

/// A client that cleared its session and went before it heard of it: the next connection waits for that, too. Killed before,
/// the next run would find the session again, and the client would get what it does not want any more.
#[test]
fn a_session_is_not_said_to_be_gone_before_its_end_is_on_disk() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").persistent());
    world.lose(client);
    world.commits = false;
    let client = world.connect(Login::v5("c"));
    world.hears(client, []);
    world.lose(client);
    let client = world.connect(Login::v5("c"));
    let other = world.connect(Login::v5("d"));
    world.hears(client, []);
    world.hears(other, ["connack 00"]);
    world.commit();
    world.hears(client, ["connack 00"]);
}

/// Who comes back after its session ended waits for the disk, and that may not linger: it may for an hour.
#[test]
fn the_end_of_a_session_does_not_linger() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").expiry(60));
    world.lose(client);
    world.commits = false;
    world.wait(Duration::from_secs(61));
    let client = world.connect(Login::v5("c"));
    world.hears(client, []);
    let end =
        world.journal.records.iter().find(|(.., record)| matches!(record, Record::ConsumerClosed { .. }));
    assert!(matches!(end, Some((_, Urgency::Awaited, _))), "{end:?}");
    world.commit();
    world.hears(client, ["connack 00"]);
}

/// A dead disk makes no sessions and no subscriptions of persistent ones; those that are there go on.
#[test]
fn a_dead_disk_makes_no_promises() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").persistent());
    world.subscribe(client, "t", 1);
    world.health(JournalHealth::Dead);
    world.send(client, subscribe(2, &[("u", options(1))]));
    world.hears(client, ["suback #2 80"]);
    world.send(client, unsubscribe(3, &["t"]));
    world.hears(client, []);
    let other = world.connect(Login::v5("d").persistent());
    world.hears(other, ["connack 88", "closed Refused(ServerUnavailable)"]);
    let other = world.connect(Login::v5("c"));
    world.hears(other, ["connack 88", "closed Refused(ServerUnavailable)"]);
    world.join(Login::v5("e"));
    let client = world.connect(Login::v5("c").persistent());
    world.hears(client, ["connack 00 present"]);
    // Readings go on to who is there, from memory.
    let reading = message(&world, "t", "live");
    world.ingest(1, reading, crate::broker::Relay::All);
    world.hears(client, ["publish t q1 #1 live"]);
    assert_eq!(world.accepted, [(1, Err(DropReason::JournalDead))]);
    world.send(client, puback(1));
    world.lose(client);
    let reading = message(&world, "t", "nobody there");
    world.ingest(2, reading, crate::broker::Relay::All);
    assert_eq!(world.dropped(DropReason::JournalDead), 1);
}

/// A full journal that drops what is new: 5.0 publishers are told, others get no acknowledgement.
#[test]
fn a_full_journal_refuses_what_is_new() {
    let mut world = owing();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "t/#", 1);
    let new = world.join(Login::v5("n"));
    let old = world.join(Login::v311("o"));
    world.health(JournalHealth::Full);
    world.send(new, qos1("t/1", 1, "refused"));
    world.send(new, qos2("t/2", 2, "refused"));
    world.hears(new, ["puback #1 97", "pubrec #2 97"]);
    world.send(old, qos1("t/3", 1, "withheld"));
    world.hears(old, []);
    world.hears(live, []);
    assert_eq!(world.dropped(DropReason::JournalFullNewest), 3);
    // The refused identifier is free.
    world.send(new, qos2("other", 2, "nobody durable"));
    world.hears(new, ["pubrec #2 10"]);
    world.health(JournalHealth::Accepting);
    world.hears(old, ["closed Refused(ServerBusy)"]);
    world.hears(new, []);
}

/// At QoS 2 nothing goes to a persistent session past the journal: the identifier is forgotten with the connection or
/// with the gateway, and the client would take the next message that gets it for a repetition [MQTT-4.3.3-10].
#[test]
fn nothing_goes_past_the_journal_at_qos_2() {
    let mut world = World::new();
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, retained("r", 2, 1, "kept"));
    world.hears(publisher, ["pubrec #1 10"]);
    let [twice, once] = [("twice", 2), ("once", 1)].map(|(name, qos)| {
        let client = world.join(Login::v5(name).persistent());
        world.subscribe(client, "t", qos);
        client
    });
    world.health(JournalHealth::Full);
    world.send(twice, subscribe(2, &[("r", options(2))]));
    world.hears(twice, ["suback #2 02"]);
    assert_eq!(world.dropped(DropReason::JournalFullNewest), 1);
    for (round, health) in (1..).zip([JournalHealth::Full, JournalHealth::Dead]) {
        world.health(health);
        let mut sent = message(&world, "t", "live");
        sent.qos = QoS::ExactlyOnce;
        world.ingest(round, sent, crate::broker::Relay::All);
        world.hears(twice, []);
        world.hears(once, [&format!("publish t q1 #{round} live")]);
    }
    assert_eq!(world.dropped(DropReason::JournalFullNewest), 2);
    assert_eq!(world.dropped(DropReason::JournalDead), 1);
}

/// What is handed to the journal and not committed is counted, so that the driver can let publishers wait.
#[test]
fn uncommitted_bytes_are_counted() {
    let mut world = owing();
    let publisher = world.join(Login::v311("p"));
    world.commit();
    assert_eq!(world.broker.uncommitted_bytes(), 0);
    world.send(publisher, qos1("t/1", 1, &"x".repeat(1000)));
    let one = world.broker.uncommitted_bytes();
    assert!(one > 1000);
    world.send(publisher, qos1("t/1", 2, &"x".repeat(1000)));
    assert_eq!(world.broker.uncommitted_bytes(), 2 * one);
    world.commit();
    assert_eq!(world.broker.uncommitted_bytes(), 0);
}
