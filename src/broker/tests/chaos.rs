//! Whole histories by chance: publishers and subscribers that keep to the standard, connections that break,
//! commits that come late, crashes; and the promises that must hold after each.
//!
//! * What was acknowledged reaches every persistent subscriber: at QoS 1 at least once, at QoS 2 exactly once.
//! * Per publisher, topic and quality of service the first arrivals keep the order of sending `[MQTT-4.6.0-6]`.
//! * Nothing that was never sent arrives, and a session that was acknowledged is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::world::*;
use crate::broker::ConnectionId;
use crate::limits::Limits;
use crate::mqtt::{Packet, PacketIdentifier, Publish, PublishQoS, QoS};

const SEEDS: u64 = 200;
const STEPS: u32 = 120;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A publisher of QoS 1 and 2 with a session of its own.
struct Publisher {
    login: Login,
    connection: Option<ConnectionId>,
    greeted: bool,
    /// Sent or to be sent, in order, until it is acknowledged for good.
    open: VecDeque<Sent>,
    next_number: u16,
    next_message: u32,
    acknowledged: BTreeMap<String, QoS>,
    sent: BTreeSet<String>,
}

struct Sent {
    publish: Publish,
    payload: String,
    released: bool,
}

impl Publisher {
    fn new(login: Login) -> Publisher {
        Publisher {
            login,
            connection: None,
            greeted: false,
            open: VecDeque::new(),
            next_number: 1,
            next_message: 0,
            acknowledged: BTreeMap::new(),
            sent: BTreeSet::new(),
        }
    }

    fn publish(&mut self, world: &mut World, random: &mut Random) {
        let Some(connection) = self.connection.filter(|_| self.greeted && self.open.len() < 5) else {
            return;
        };
        self.next_message += 1;
        let client_id = self.login.connect.client_id.clone();
        let payload = format!("{client_id} {}", self.next_message);
        let qos = 1 + u8::from(random.chance(50));
        let topic = ["t/a", "t/b"][usize::from(random.chance(50))];
        self.next_number = self.next_number % 50 + 1;
        while self.open.iter().any(|sent| number_of(&sent.publish) == self.next_number) {
            self.next_number = self.next_number % 50 + 1;
        }
        let publish = publish(topic, qos, self.next_number, &payload);
        self.sent.insert(payload.clone());
        self.open.push_back(Sent { publish: publish.clone(), payload, released: false });
        world.send(connection, Packet::Publish(publish));
    }

    fn hear(&mut self, world: &mut World) {
        let Some(connection) = self.connection else { return };
        for heard in world.take_heard(connection) {
            match heard {
                Heard::Packet(Packet::ConnAck(packet)) => {
                    assert!(!packet.reason.is_error(), "{packet:?}");
                    self.greeted = true;
                    if !packet.session_present {
                        // A new session: identifiers mean nothing any more, everything is sent anew.
                        self.open.retain(|sent| !sent.released);
                    }
                    self.send_again(world, connection);
                }
                Heard::Packet(Packet::PubAck(ack)) => self.done(ack.packet_identifier, QoS::AtLeastOnce),
                Heard::Packet(Packet::PubRec(ack)) => {
                    let found =
                        self.open.iter_mut().find(|sent| id_of(&sent.publish) == ack.packet_identifier);
                    if let Some(sent) = found {
                        sent.released = true;
                        self.acknowledged.insert(sent.payload.clone(), QoS::ExactlyOnce);
                        world.send(connection, pubrel(ack.packet_identifier.get()));
                    }
                }
                Heard::Packet(Packet::PubComp(ack)) => self.done(ack.packet_identifier, QoS::ExactlyOnce),
                Heard::Packet(other) => panic!("a publisher hears {other:?}"),
                Heard::Closed(reason) => panic!("closed: {reason:?}"),
            }
        }
    }

    /// What is open on a session that goes on is sent again in order `[MQTT-4.4.0-1]`.
    fn send_again(&self, world: &mut World, connection: ConnectionId) {
        for sent in &self.open {
            let again = if sent.released {
                pubrel(number_of(&sent.publish))
            } else {
                Packet::Publish(Publish { dup: true, ..sent.publish.clone() })
            };
            world.send(connection, again);
        }
    }

    fn done(&mut self, identifier: PacketIdentifier, qos: QoS) {
        let at = self.open.iter().position(|sent| id_of(&sent.publish) == identifier);
        if let Some(sent) = at.and_then(|at| self.open.remove(at)) {
            self.acknowledged.insert(sent.payload, qos);
        }
    }
}

fn id_of(publish: &Publish) -> PacketIdentifier {
    publish.qos.packet_identifier().unwrap()
}

fn number_of(publish: &Publish) -> u16 {
    id_of(publish).get()
}

/// A subscriber with a persistent session.
struct Subscriber {
    login: Login,
    qos: QoS,
    connection: Option<ConnectionId>,
    subscribed: bool,
    /// Identifiers of QoS 2 messages that it took and has not seen released.
    taken: BTreeSet<PacketIdentifier>,
    /// Answers that it has not sent yet.
    to_answer: VecDeque<Packet>,
    /// Payloads with topic and QoS, as they came.
    got: Vec<(String, String, QoS)>,
}

impl Subscriber {
    fn new(login: Login, qos: QoS) -> Subscriber {
        Subscriber {
            login,
            qos,
            connection: None,
            subscribed: false,
            taken: BTreeSet::new(),
            to_answer: VecDeque::new(),
            got: Vec::new(),
        }
    }

    fn hear(&mut self, world: &mut World) {
        let Some(connection) = self.connection else { return };
        for heard in world.take_heard(connection) {
            match heard {
                Heard::Packet(Packet::ConnAck(packet)) => {
                    assert!(packet.session_present || !self.subscribed, "an acknowledged session is there");
                    if !self.subscribed {
                        world.send(connection, subscribe(1, &[("t/+", options(self.qos.as_u8()))]));
                    }
                }
                Heard::Packet(Packet::SubAck(_)) => self.subscribed = true,
                Heard::Packet(Packet::Publish(publish)) => self.take(&publish),
                Heard::Packet(Packet::PubRel(ack)) => {
                    self.taken.remove(&ack.packet_identifier);
                    self.to_answer.push_back(pubcomp(ack.packet_identifier.get()));
                }
                Heard::Packet(other) => panic!("a subscriber hears {other:?}"),
                Heard::Closed(reason) => panic!("closed: {reason:?}"),
            }
        }
    }

    fn take(&mut self, publish: &Publish) {
        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
        let topic = publish.topic.as_ref().unwrap().to_string();
        match publish.qos {
            PublishQoS::AtMostOnce => panic!("granted less than published"),
            PublishQoS::AtLeastOnce(id) => {
                self.got.push((payload, topic, QoS::AtLeastOnce));
                self.to_answer.push_back(puback(id.get()));
            }
            PublishQoS::ExactlyOnce(id) => {
                if self.taken.insert(id) {
                    self.got.push((payload, topic, QoS::ExactlyOnce));
                }
                self.to_answer.push_back(pubrec(id.get()));
            }
        }
    }

    fn answer_one(&mut self, world: &mut World) -> bool {
        let (Some(connection), Some(answer)) = (self.connection, self.to_answer.pop_front()) else {
            return false;
        };
        world.send(connection, answer);
        true
    }
}

/// A world, its people and its chance.
struct History {
    world: Option<World>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    random: Random,
}

impl History {
    fn new(seed: u64) -> History {
        let mut world = World::with(Limits { receive_maximum: 5, ..Limits::default() });
        world.commits = false;
        History {
            world: Some(world),
            publishers: vec![
                Publisher::new(Login::v311("p1").persistent()),
                Publisher::new(Login::v5("p2").persistent().receive_maximum(3)),
            ],
            subscribers: vec![
                Subscriber::new(Login::v311("s1").persistent(), QoS::ExactlyOnce),
                Subscriber::new(Login::v5("s2").persistent().receive_maximum(2), QoS::ExactlyOnce),
                Subscriber::new(Login::v5("s3").persistent(), QoS::AtLeastOnce),
            ],
            random: Random(seed),
        }
    }

    fn world(&mut self) -> &mut World {
        self.world.as_mut().unwrap()
    }

    fn step(&mut self) {
        let who = usize::try_from(self.random.below(6)).unwrap();
        match self.random.below(100) {
            0..35 => {
                let publisher = &mut self.publishers[who % 2];
                publisher.publish(self.world.as_mut().unwrap(), &mut self.random);
            }
            35..65 => {
                self.subscribers[who % 3].answer_one(self.world.as_mut().unwrap());
            }
            65..80 => self.world().commit(),
            80..83 => self.cut_subscriber(who % 3),
            83..86 => self.cut_publisher(who % 2),
            86..95 => self.come_back(),
            95..97 => {
                let slow = !self.world().journal.slow;
                self.world().journal.slow = slow;
                self.world().answer_loads();
            }
            97..99 => self.world().wait(Duration::from_millis(300)),
            _ => self.crash(),
        }
        self.hear();
    }

    fn hear(&mut self) {
        let world = self.world.as_mut().unwrap();
        self.publishers.iter_mut().for_each(|publisher| publisher.hear(world));
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.hear(world));
    }

    fn cut_subscriber(&mut self, who: usize) {
        let subscriber = &mut self.subscribers[who];
        subscriber.to_answer.clear();
        if let Some(connection) = subscriber.connection.take() {
            // What it had not read yet is lost with the connection, or came in before.
            self.world.as_mut().unwrap().lose(connection);
        }
    }

    fn cut_publisher(&mut self, who: usize) {
        let publisher = &mut self.publishers[who];
        publisher.greeted = false;
        if let Some(connection) = publisher.connection.take() {
            self.world.as_mut().unwrap().lose(connection);
        }
    }

    fn come_back(&mut self) {
        let world = self.world.as_mut().unwrap();
        for publisher in &mut self.publishers {
            if publisher.connection.is_none() && self.random.chance(50) {
                publisher.connection = Some(world.connect(publisher.login.clone()));
            }
        }
        for subscriber in &mut self.subscribers {
            if subscriber.connection.is_none() && self.random.chance(50) {
                subscriber.connection = Some(world.connect(subscriber.login.clone()));
            }
        }
    }

    fn crash(&mut self) {
        let world = self.world.take().unwrap();
        self.world = Some(world.crash());
        for publisher in &mut self.publishers {
            (publisher.connection, publisher.greeted) = (None, false);
        }
        for subscriber in &mut self.subscribers {
            subscriber.connection = None;
            subscriber.to_answer.clear();
        }
    }

    /// Everything calms down: all are connected, everything is committed and answered.
    fn calm_down(&mut self) {
        self.world().journal.slow = false;
        self.world().answer_loads();
        for _ in 0..80 {
            self.come_back();
            self.world().commit();
            self.hear();
            let world = self.world.as_mut().unwrap();
            for subscriber in &mut self.subscribers {
                while subscriber.answer_one(world) {}
            }
            self.hear();
        }
        for publisher in &self.publishers {
            assert!(publisher.open.is_empty(), "every message is acknowledged in the end");
        }
    }

    fn check(&self) {
        for subscriber in &self.subscribers {
            let mut first: Vec<&(String, String, QoS)> = Vec::new();
            let mut seen = BTreeSet::new();
            for got in &subscriber.got {
                let is_new = seen.insert(&got.0);
                assert!(is_new || got.2 == QoS::AtLeastOnce, "{} came twice at QoS 2", got.0);
                if is_new {
                    first.push(got);
                }
                assert!(self.publishers.iter().any(|publisher| publisher.sent.contains(&got.0)));
            }
            for publisher in &self.publishers {
                let from = publisher.login.connect.client_id.to_string();
                for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    for topic in ["t/a", "t/b"] {
                        let numbers: Vec<u32> = first
                            .iter()
                            .filter(|(payload, to, at)| {
                                payload.starts_with(&from)
                                    && to == topic
                                    && *at == qos
                                    && publisher.acknowledged.get(payload) == Some(&qos)
                            })
                            .map(|(payload, ..)| payload.split(' ').nth(1).unwrap().parse().unwrap())
                            .collect();
                        assert!(numbers.is_sorted(), "{from} {topic} {qos:?}: {numbers:?}");
                    }
                }
            }
        }
    }

    /// What was acknowledged after the subscription was has arrived.
    fn check_arrivals(&self, before: &[BTreeSet<String>]) {
        for subscriber in &self.subscribers {
            let seen: BTreeSet<&String> = subscriber.got.iter().map(|(payload, ..)| payload).collect();
            for (publisher, before) in self.publishers.iter().zip(before) {
                for payload in publisher.acknowledged.keys().filter(|payload| !before.contains(*payload)) {
                    let who = &subscriber.login.connect.client_id;
                    assert!(seen.contains(payload), "{payload} was acknowledged and is lost for {who}");
                }
            }
        }
    }
}

#[test]
fn promises_hold_in_many_histories() {
    for seed in 0..SEEDS {
        let mut history = History::new(seed);
        // First all subscribe, and that is on disk.
        while history.subscribers.iter().any(|subscriber| !subscriber.subscribed) {
            history.come_back();
            history.world().commit();
            history.hear();
        }
        let before: Vec<BTreeSet<String>> =
            history.publishers.iter().map(|publisher| publisher.sent.clone()).collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                history.step();
            }
            history.calm_down();
            history.check();
            history.check_arrivals(&before);
        }));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
