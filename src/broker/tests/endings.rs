//! Ends of connections and sessions: keep-alive, DISCONNECT, loss; wills now, later and never.

use std::time::Duration;

use super::world::*;
use crate::mqtt::{Disconnect, Packet, ReasonCode};
use crate::time::TimeQuality;

const SECOND: Duration = Duration::from_secs(1);

fn disconnect(reason: ReasonCode, expiry: Option<u32>) -> Packet {
    Packet::Disconnect(Box::new(Disconnect {
        session_expiry_interval_seconds: expiry,
        ..Disconnect::new(reason)
    }))
}

/// Silence for 1.5 x keep-alive ends the connection `[MQTT-3.1.2-22]`; anything heard moves the deadline.
#[test]
fn keep_alive_ends_a_silent_connection() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").keep_alive(10));
    world.wait(14 * SECOND);
    world.send(client, Packet::PingReq);
    world.hears(client, ["pingresp"]);
    world.wait(Duration::from_millis(14_999));
    world.hears(client, []);
    world.wait(Duration::from_millis(1));
    world.hears(client, ["disconnect 8d", "closed KeepAlive"]);

    let old = world.join(Login::v311("o").keep_alive(10));
    let patient = world.join(Login::v311("p"));
    world.wait(3600 * SECOND);
    world.hears(old, ["closed KeepAlive"]);
    world.hears(patient, []);
    assert_eq!(world.broker.next_timeout(), None);
}

/// A will is published on every end but a clean DISCONNECT `[MQTT-3.1.2-8]` `[MQTT-3.1.2-10]`.
#[test]
fn a_will_is_published_on_every_end_but_a_clean_one() {
    type End = fn(&mut World, crate::broker::ConnectionId);
    let cases: [(&str, End, bool); 7] = [
        ("loss", World::lose, true),
        ("disconnect", |world, client| world.send(client, disconnect(ReasonCode::Success, None)), false),
        (
            "disconnect with will",
            |world, client| world.send(client, disconnect(ReasonCode::DisconnectWithWillMessage, None)),
            true,
        ),
        (
            "disconnect with an error",
            |world, client| world.send(client, disconnect(ReasonCode::UnspecifiedError, None)),
            true,
        ),
        ("protocol error", |world, client| world.send(client, Packet::PingResp), true),
        ("silence", |world, _| world.wait(60 * SECOND), true),
        ("malformed", |world, client| world.malformed(client), true),
    ];
    for (case, end, published) in cases {
        for login in [Login::v5("c"), Login::v5("c").persistent()] {
            let mut world = World::new();
            let witness = world.join(Login::v311("w"));
            world.subscribe(witness, "will/#", 2);
            let client = world.join(login.keep_alive(10).will("will/c", 1, 0));
            end(&mut world, client);
            let expected: &[&str] = if published { &["publish will/c q1 #1 gone"] } else { &[] };
            assert_eq!(world.heard(witness), expected, "{case}");
        }
    }
}

/// The will waits for its delay, or for the end of the session if that is earlier `[MQTT-3.1.3-9]`.
#[test]
fn a_will_waits_for_its_delay_or_the_end_of_the_session() {
    for (delay, expiry, after) in [(10, 60, 10), (60, 10, 10), (10, u32::MAX, 10), (10, 0, 0)] {
        let mut world = World::new();
        let witness = world.join(Login::v311("w"));
        world.subscribe(witness, "will/#", 0);
        let client = world.join(Login::v5("c").expiry(expiry).will("will/c", 0, delay));
        world.lose(client);
        if after > 0 {
            world.wait(after * SECOND - Duration::from_millis(1));
            world.hears(witness, []);
            world.wait(Duration::from_millis(1));
        }
        world.hears(witness, ["publish will/c q0 gone"]);
        world.wait(1000 * SECOND);
        world.hears(witness, []);
    }
}

/// Who comes back in time cancels the will; who begins anew ends the session and with it the delay.
#[test]
fn coming_back_cancels_a_delayed_will() {
    for (clean_start, published) in [(false, false), (true, true)] {
        let mut world = World::new();
        let witness = world.join(Login::v311("w"));
        world.subscribe(witness, "will/#", 0);
        let client = world.join(Login::v5("c").expiry(60).will("will/c", 0, 10));
        world.lose(client);
        world.wait(9 * SECOND);
        world.join(Login::v5("c").expiry(60).clean_start(clean_start));
        world.wait(100 * SECOND);
        let expected: &[&str] = if published { &["publish will/c q0 gone"] } else { &[] };
        assert_eq!(world.heard(witness), expected);
    }
}

/// Taking over publishes the will of the older connection unless it has a delay and the session goes on.
#[test]
fn taking_over_publishes_a_will_without_delay() {
    for (delay, clean_start, published) in [(0, false, true), (5, false, false), (5, true, true)] {
        let mut world = World::new();
        let witness = world.join(Login::v311("w"));
        world.subscribe(witness, "will/#", 0);
        world.join(Login::v5("c").expiry(60).will("will/c", 0, delay));
        world.join(Login::v5("c").expiry(60).clean_start(clean_start));
        let expected: &[&str] = if published { &["publish will/c q0 gone"] } else { &[] };
        assert_eq!(world.heard(witness), expected);
    }
}

/// DISCONNECT may change the expiry, but not from nothing `[MQTT-3.14.2-2]`.
#[test]
fn disconnect_changes_the_expiry() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").expiry(1000));
    world.send(client, disconnect(ReasonCode::Success, Some(10)));
    world.wait(9 * SECOND);
    let client = world.connect(Login::v5("c").clean_start(false).expiry(1000));
    world.hears(client, ["connack 00 present"]);
    world.send(client, disconnect(ReasonCode::Success, Some(0)));
    let client = world.connect(Login::v5("c").clean_start(false));
    world.hears(client, ["connack 00"]);
    world.send(client, disconnect(ReasonCode::Success, Some(10)));
    world.hears(client, ["disconnect 82", "closed Refused(ProtocolError)"]);
}

/// A session ends when its expiry has passed, not before `[MQTT-3.1.2-23]`, and is then unknown to the journal.
#[test]
fn a_session_expires() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").expiry(10));
    world.subscribe(client, "t", 1);
    world.lose(client);
    world.wait(10 * SECOND);
    assert_eq!(world.journal.kinds().last().unwrap(), "ConsumerClosed");
    let client = world.connect(Login::v5("c").expiry(10).clean_start(false));
    world.hears(client, ["connack 00"]);
}

/// Time that the gateway was off counts when both clocks can be trusted; otherwise nothing expires early.
#[test]
fn a_session_expires_over_a_restart_as_far_as_the_clocks_tell() {
    for (pause, quality, left) in
        [(5, TimeQuality::Synced, true), (15, TimeQuality::Synced, false), (15, TimeQuality::Unsynced, true)]
    {
        let mut world = World::new();
        let client = world.join(Login::v5("c").expiry(10));
        world.lose(client);
        let mut world = world.crash_for(pause * SECOND, quality);
        world.wait(Duration::ZERO);
        let client = world.connect(Login::v5("c").clean_start(false));
        let expected = if left { "connack 00 present" } else { "connack 00" };
        assert_eq!(world.heard(client), [expected], "after {pause} s, {quality:?}");
    }
}

/// A gateway that dies takes its clients' connections with it: their wills are published when it is back.
#[test]
fn a_crash_ends_connections_abnormally() {
    for delay in [0, 10] {
        let mut world = World::new();
        let witness = world.join(Login::v311("w").persistent());
        world.subscribe(witness, "will/#", 1);
        world.join(Login::v5("c").expiry(60).will("will/c", 1, delay));
        let mut world = world.crash();
        world.wait(Duration::from_secs(delay.into()));
        let witness = world.connect(Login::v311("w").persistent());
        world.hears(witness, ["connack 00 present", "publish will/c q1 #1 gone"]);
        // And only once.
        let mut world = world.crash();
        world.wait(100 * SECOND);
        let witness = world.connect(Login::v311("w").persistent());
        world.hears(witness, ["connack 00 present", "publish will/c q1 #1 dup gone"]);
    }
}

/// Also when the client is back before anything else happens.
#[test]
fn a_client_that_comes_back_at_once_after_a_crash_has_still_left_a_will() {
    let mut world = World::new();
    let witness = world.join(Login::v311("w").persistent());
    world.subscribe(witness, "will/#", 1);
    world.join(Login::v5("c").expiry(60).will("will/c", 1, 0));
    let mut world = world.crash();
    world.join(Login::v5("c").expiry(60).clean_start(false));
    let witness = world.connect(Login::v311("w").persistent());
    world.hears(witness, ["connack 00 present", "publish will/c q1 #1 gone"]);
    world.wait(1000 * SECOND);
    world.hears(witness, []);
}
