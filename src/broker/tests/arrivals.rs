//! CONNECT and CONNACK: who is let in, with which session, and what it is told.

use super::world::*;
use crate::broker::{CloseReason, Event};
use crate::limits::Limits;
use crate::mqtt::{Packet, ReasonCode};

/// Session present says whether there was one `[MQTT-3.2.2-2]` `[MQTT-3.2.2-3]`, in every version that can say it.
#[test]
fn session_present_tells_the_truth() {
    let persistent = |login: Login| login.persistent();
    let clean = |login: Login| login;
    let cases: [(&str, Login, Login, &str); 7] = [
        ("3.1.1 kept", persistent(Login::v311("c")), persistent(Login::v311("c")), "connack 00 present"),
        ("3.1.1 cleared", persistent(Login::v311("c")), clean(Login::v311("c")), "connack 00"),
        ("3.1.1 was clean", clean(Login::v311("c")), persistent(Login::v311("c")), "connack 00"),
        ("3.1 has no flag", persistent(Login::v31("c")), persistent(Login::v31("c")), "connack 00"),
        ("5 kept", Login::v5("c").expiry(60), Login::v5("c").clean_start(false), "connack 00 present"),
        ("5 not kept", Login::v5("c"), Login::v5("c").clean_start(false), "connack 00"),
        ("5 to 3.1.1", Login::v5("c").expiry(60), persistent(Login::v311("c")), "connack 00 present"),
    ];
    for (case, first, second, answer) in cases {
        let mut world = World::new();
        let connection = world.join(first);
        world.lose(connection);
        let connection = world.connect(second);
        assert_eq!(world.heard(connection), [answer], "{case}");
    }
}

/// Subscriptions are part of the session, and gone with it `[MQTT-3.1.2-4]` `[MQTT-3.1.2-5]`.
#[test]
fn subscriptions_live_and_die_with_the_session() {
    let mut world = World::new();
    let publisher = world.join(Login::v311("p"));
    let client = world.join(Login::v311("c").persistent());
    world.subscribe(client, "t", 0);
    world.lose(client);
    let client = world.join(Login::v311("c").persistent());
    world.send(publisher, qos0("t", "still"));
    world.hears(client, ["publish t q0 still"]);
    world.lose(client);
    let client = world.join(Login::v311("c"));
    world.send(publisher, qos0("t", "gone"));
    world.hears(client, []);
}

/// A second client with the same identifier ends the first one's connection `[MQTT-3.1.4-3]`.
#[test]
fn the_newer_connection_takes_over() {
    for (login, farewell) in [
        (Login::v5("c"), vec!["disconnect 8e", "closed TakenOver"]),
        (Login::v311("c"), vec!["closed TakenOver"]),
    ] {
        let mut world = World::new();
        let old = world.join(login.clone().persistent());
        world.subscribe(old, "t", 1);
        let new = world.connect(login.persistent());
        assert_eq!(world.heard(old), farewell);
        world.hears(new, ["connack 00 present"]);
        let publisher = world.join(Login::v311("p"));
        world.send(publisher, qos1("t", 1, "x"));
        world.hears(old, []);
        world.hears(new, ["publish t q1 #1 x"]);
        assert!(
            world.events.iter().any(|event| matches!(event, Event::ClientConnected { took_over: true, .. }))
        );
        // What the old connection still says is not heard.
        world.send(old, qos0("t", "ghost"));
        world.hears(new, []);
    }
}

/// A session belongs to the user that made it.
#[test]
fn another_user_neither_takes_over_nor_clears_a_session() {
    let mut world = World::new();
    let owner = world.join(Login::v5("c").persistent().user("ann"));
    for login in [Login::v5("c").user("bob"), Login::v5("c"), Login::v5("c").persistent().user("bob")] {
        let other = world.connect(login);
        world.hears(other, ["connack 87", "closed Refused(NotAuthorized)"]);
    }
    world.hears(owner, []);
    let again = world.connect(Login::v5("c").persistent().user("ann"));
    world.hears(again, ["connack 00 present"]);
}

/// An empty identifier: 5.0 is given one `[MQTT-3.1.3-6]` `[MQTT-3.1.3-7]`, 3.1.1 only for a clean session
/// `[MQTT-3.1.3-8]`, 3.1 never.
#[test]
fn nameless_clients_are_named_or_refused() {
    let mut world = World::new();
    let refused = ["connack 85", "closed Refused(ClientIdentifierNotValid)"];
    let client = world.connect(Login::v5(""));
    world.hears(client, ["connack 00 id=tidegate-1"]);
    let client = world.connect(Login::v5("").expiry(10));
    world.hears(client, ["connack 00 id=tidegate-2"]);
    let client = world.connect(Login::v311(""));
    world.hears(client, ["connack 00"]);
    let client = world.connect(Login::v311("").persistent());
    world.hears(client, refused);
    let client = world.connect(Login::v31(""));
    world.hears(client, refused);
}

/// An assigned identifier is never that of somebody else, also after a restart.
#[test]
fn an_assigned_identifier_is_free() {
    let mut world = World::new();
    let client = world.connect(Login::v5("").expiry(u32::MAX));
    world.hears(client, ["connack 00 id=tidegate-1"]);
    let mut world = world.crash();
    let client = world.connect(Login::v5(""));
    world.hears(client, ["connack 00 id=tidegate-2"]);
}

/// What the server changes it says `[MQTT-3.1.2-21]` `[MQTT-3.2.2-21]`; 3.x clients cannot be told.
#[test]
fn the_server_says_its_own_keep_alive_and_expiry() {
    let limits =
        Limits { server_keep_alive_seconds: 7, max_session_expiry_seconds: 100, ..Limits::default() };
    let mut world = World::with(limits);
    let client = world.connect(Login::v5("a").expiry(1000).keep_alive(60));
    world.hears(client, ["connack 00 keep-alive=7 expiry=100"]);
    let client = world.connect(Login::v5("b").expiry(50));
    world.hears(client, ["connack 00 keep-alive=7"]);
    // Who asks for a shorter one has it.
    let client = world.connect(Login::v5("d").keep_alive(3));
    world.hears(client, ["connack 00"]);
    let client = world.connect(Login::v311("c").persistent());
    world.hears(client, ["connack 00"]);
}

/// Nobody but the driver authenticates; a method of enhanced authentication is not known `[MQTT-4.12.0-1]`.
#[test]
fn enhanced_authentication_is_refused() {
    let mut world = World::new();
    let mut login = Login::v5("c");
    login.connect.properties.authentication_method = Some("SCRAM".into());
    let client = world.connect(login);
    world.hears(client, ["connack 8c", "closed Refused(BadAuthenticationMethod)"]);
    assert!(world.events.iter().any(|event| matches!(
        event,
        Event::ClientRefused { reason: ReasonCode::BadAuthenticationMethod, .. }
    )));
}

/// The first packet is CONNECT `[MQTT-3.1.0-1]`, and the only one `[MQTT-3.1.0-2]`.
#[test]
fn connect_comes_first_and_once() {
    let mut world = World::new();
    let stranger = world.unannounced();
    world.send(stranger, Packet::PingReq);
    world.hears(stranger, ["closed Refused(ProtocolError)"]);
    world.send(stranger, Packet::PingReq);
    world.hears(stranger, ["closed Refused(ProtocolError)"]);

    let client = world.join(Login::v5("c"));
    world.connect_again(client, Login::v5("c"));
    world.hears(client, ["disconnect 82", "closed Refused(ProtocolError)"]);
}

/// Connections and sessions are bounded; a client that has a session comes back to it.
#[test]
fn the_numbers_of_connections_and_sessions_are_bounded() {
    let mut world = World::with(Limits { max_sessions: 2, ..Limits::default() });
    let first = world.join(Login::v5("a").persistent());
    world.lose(first);
    world.join(Login::v5("b"));
    let third = world.connect(Login::v5("c"));
    world.hears(third, ["connack 97", "closed Refused(QuotaExceeded)"]);
    let first = world.connect(Login::v5("a").persistent());
    world.hears(first, ["connack 00 present"]);

    let mut world = World::with(Limits { max_connections: 1, ..Limits::default() });
    let first = world.join(Login::v5("a"));
    let second = world.connect(Login::v5("b"));
    world.hears(second, ["connack 89", "closed Refused(ServerBusy)"]);
    world.lose(first);
    world.join(Login::v5("b"));
}

#[test]
fn events_tell_who_comes_and_goes() {
    let mut world = World::new();
    let client = world.join(Login::v311("c"));
    world.leave(client);
    let client_id = || "c".into();
    let connection = client;
    assert_eq!(
        world.events,
        [
            Event::ClientConnected { connection, client_id: client_id(), took_over: false },
            Event::ClientDisconnected {
                connection,
                client_id: client_id(),
                reason: CloseReason::Disconnected
            },
        ]
    );
}
