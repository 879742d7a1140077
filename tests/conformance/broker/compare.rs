//! The same histories here and in mosquitto, and after each step every client has got the same: one publisher per
//! topic, every message acknowledged at once and in order.
//!
//! What may differ is left out of the comparison: how many copies overlapping subscriptions give, and the order of
//! messages of different topics.

use std::collections::BTreeMap;

use tidegate::broker::ConnectionId;
use tidegate::mqtt::{Packet, Publish, PublishQoS, ReasonCode};

use super::packets::*;
use super::peer::{Mosquitto, Socket};
use super::random::Random;
use super::site::Site;

const PEOPLE: usize = 5;
const HISTORIES: u64 = 12;
const STEPS: usize = 150;
const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "b", "a//c", "c/d"];
const FILTERS: [&str; 10] = ["a", "a/b", "a/+", "a/#", "#", "+", "+/b/#", "b", "+/+/c", "c/+"];

#[derive(Debug, Clone)]
enum Step {
    Connect { who: usize, is_clean: bool },
    Leave { who: usize, is_polite: bool },
    Subscribe { who: usize, filter: &'static str, qos: u8 },
    Unsubscribe { who: usize, filter: &'static str },
    Publish { who: usize, topic: &'static str, qos: u8, retain: bool, payload: String },
}

/// What one client got in one step: by topic and message, the highest quality of service and the retain flag.
type Got = BTreeMap<(String, String), (u8, bool)>;

#[test]
fn clients_get_here_what_mosquitto_gives_them() {
    for seed in 0..HISTORIES {
        let Some(mosquitto) = Mosquitto::start() else { return };
        let history = history(seed);
        let mut here = Here { site: Site::new(), connections: [None; PEOPLE] };
        let mut there = There { mosquitto, sockets: std::array::from_fn(|_| None) };
        let mut messages = 0;
        for (place, step) in history.iter().enumerate() {
            let (here, there) = (here.take(step), there.take(step));
            messages += here.iter().map(Got::len).sum::<usize>();
            for who in 0..PEOPLE {
                assert_eq!(
                    here[who],
                    there[who],
                    "seed {seed}: client {who}, after {:#?}",
                    &history[..=place]
                );
            }
        }
        assert!(messages > 20, "seed {seed} compares next to nothing: {messages}");
    }
}

fn history(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let mut is_here = [false; PEOPLE];
    let mut messages = 0;
    let mut steps = Vec::new();
    while steps.len() < STEPS {
        let who = random.below(PEOPLE);
        if !is_here[who] {
            is_here[who] = true;
            steps.push(Step::Connect { who, is_clean: random.chance(30) });
            continue;
        }
        steps.push(match random.below(100) {
            0..10 => {
                is_here[who] = false;
                Step::Leave { who, is_polite: random.chance(50) }
            }
            10..30 => {
                // Overlapping subscriptions of one client ask for the same: mosquitto takes any of them for the
                // quality of service, not the highest.
                Step::Subscribe { who, filter: random.of(&FILTERS), qos: [2, 1, 0, 2, 1][who] }
            }
            30..36 => Step::Unsubscribe { who, filter: random.of(&FILTERS) },
            _ => {
                let place = random.below(TOPICS.len());
                let who = place % PEOPLE;
                if !is_here[who] {
                    continue;
                }
                messages += 1;
                let retain = random.chance(20);
                let is_empty = retain && random.chance(25);
                let payload = if is_empty { String::new() } else { format!("m{messages}") };
                Step::Publish { who, topic: TOPICS[place], qos: random.of(&[0, 1, 2]), retain, payload }
            }
        });
    }
    steps
}

/// Every second client speaks 5.0.
fn hello_of(who: usize, is_clean: bool) -> Hello {
    let name = format!("client {who}");
    let hello = if who.is_multiple_of(2) { v5(&name) } else { v311(&name) };
    if is_clean { hello } else { hello.persistent() }
}

fn packet_of(step: &Step) -> Packet {
    match step {
        Step::Connect { who, is_clean } => hello_of(*who, *is_clean).into(),
        Step::Leave { .. } => disconnect(ReasonCode::Success),
        Step::Subscribe { filter, qos, .. } => subscribe(1, filter, *qos),
        Step::Unsubscribe { filter, .. } => unsubscribe(1, &[filter]),
        Step::Publish { topic, qos, retain, payload, .. } => {
            let mut says = publish(topic, *qos, 2, payload);
            says.0.retain = *retain;
            says.into()
        }
    }
}

/// Notes what came, and gives what a well-behaved client says to it.
fn answer(packet: &Packet, got: &mut Got) -> Option<Packet> {
    match packet {
        Packet::Publish(publish) => {
            note(publish, got);
            match publish.qos {
                PublishQoS::AtMostOnce => None,
                PublishQoS::AtLeastOnce(identifier) => Some(puback(identifier.get())),
                PublishQoS::ExactlyOnce(identifier) => Some(pubrec(identifier.get())),
            }
        }
        Packet::PubRec(answer) if !answer.reason.is_error() => Some(pubrel(answer.packet_identifier.get())),
        Packet::PubRel(release) => Some(pubcomp(release.packet_identifier.get())),
        Packet::ConnAck(greeting) if greeting.session_present => {
            got.insert(("session".to_owned(), "present".to_owned()), (0, false));
            None
        }
        _ => None,
    }
}

fn note(publish: &Publish, got: &mut Got) {
    let topic = publish.topic.as_ref().expect("no alias was allowed").as_str().to_owned();
    let payload = String::from_utf8_lossy(&publish.payload).into_owned();
    let entry = got.entry((topic, payload)).or_insert((0, publish.retain));
    entry.0 = entry.0.max(publish.qos.qos().as_u8());
    entry.1 |= publish.retain;
}

/// Our broker.
struct Here {
    site: Site,
    connections: [Option<ConnectionId>; PEOPLE],
}

impl Here {
    fn take(&mut self, step: &Step) -> [Got; PEOPLE] {
        match step {
            Step::Connect { who, is_clean } => {
                self.connections[*who] = Some(self.site.connect(hello_of(*who, *is_clean)));
            }
            Step::Leave { who, is_polite } => {
                let connection = self.connections[*who].take().unwrap();
                if *is_polite {
                    self.site.send(connection, packet_of(step));
                } else {
                    self.site.lose(connection);
                }
            }
            Step::Subscribe { who, .. } | Step::Unsubscribe { who, .. } | Step::Publish { who, .. } => {
                self.site.send(self.connections[*who].unwrap(), packet_of(step));
            }
        }
        let mut got = <[Got; PEOPLE]>::default();
        loop {
            let mut is_quiet = true;
            for (connection, got) in self.connections.into_iter().zip(&mut got) {
                let Some(connection) = connection else { continue };
                for packet in self.site.take(connection).0 {
                    is_quiet = false;
                    if let Some(answer) = answer(&packet, got) {
                        self.site.send(connection, answer);
                    }
                }
            }
            if is_quiet {
                return got;
            }
        }
    }
}

/// Mosquitto.
struct There {
    mosquitto: Mosquitto,
    sockets: [Option<Socket>; PEOPLE],
}

impl There {
    fn take(&mut self, step: &Step) -> [Got; PEOPLE] {
        let actor = match step {
            Step::Connect { who, is_clean } => {
                self.sockets[*who] = Some(self.mosquitto.connect(hello_of(*who, *is_clean)));
                *who
            }
            Step::Leave { who, is_polite } => {
                let mut socket = self.sockets[*who].take().unwrap();
                if *is_polite {
                    socket.send(&packet_of(step));
                }
                socket.close();
                *who
            }
            Step::Subscribe { who, .. } | Step::Unsubscribe { who, .. } | Step::Publish { who, .. } => {
                self.sockets[*who].as_mut().unwrap().send(&packet_of(step));
                *who
            }
        };
        let mut got = <[Got; PEOPLE]>::default();
        loop {
            // The one that acted first: what it said is done when its ping is answered.
            let mut is_quiet = true;
            for who in (actor..PEOPLE).chain(0..actor) {
                if let Some(socket) = &mut self.sockets[who] {
                    is_quiet &= until_quiet(socket, &mut got[who]);
                }
            }
            if is_quiet {
                return got;
            }
        }
    }
}

/// Takes everything up to the answer of a ping; whether there was nothing else.
fn until_quiet(socket: &mut Socket, got: &mut Got) -> bool {
    socket.send(&Packet::PingReq);
    let mut is_quiet = true;
    loop {
        match socket.next().expect("mosquitto does not close") {
            Packet::PingResp => return is_quiet,
            packet => {
                is_quiet = false;
                if let Some(answer) = answer(&packet, got) {
                    socket.send(&answer);
                }
            }
        }
    }
}
