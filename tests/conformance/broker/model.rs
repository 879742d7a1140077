//! Random histories of many clients, and after every step each has heard exactly what the reference says: connects,
//! take-overs, subscriptions, publications at every quality of service, answers that come late, in any order or not
//! at all, lost connections, wills, sessions that expire.

use std::collections::HashMap;
use std::num::NonZeroU16;

use tidegate::broker::ConnectionId;
use tidegate::limits::Limits;
use tidegate::mqtt::{Packet, ReasonCode, RetainHandling, SubscriptionOptions, TopicName};

use super::packets::*;
use super::random::Random;
use super::reference::{EXPIRY, Message, Owed, Person, Reference, Wish};
use super::site::Site;

const PEOPLE: usize = 6;
const HISTORIES: u64 = 400;
const STEPS: usize = 260;
const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "a//c", "b", "$x/a", "long/topic/name"];
const FILTERS: [&str; 12] =
    ["a", "a/b", "a/+", "a/#", "#", "+", "+/b/#", "$x/#", "b", "+/+/c", "long/#", "$x/+"];

#[test]
fn every_client_hears_what_the_reference_says() {
    let first = std::env::var("TIDEGATE_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let mut operations = 0;
    for seed in first.map_or(0..HISTORIES, |seed: u64| seed..seed + 1) {
        let mut history = History::new(seed);
        for step in 0..STEPS {
            history.step();
            history.compare(&format!("TIDEGATE_SEED={seed}, step {step}"));
        }
        operations += STEPS;
    }
    assert!(first.is_some() || operations >= 100_000);
}

struct History {
    random: Random,
    site: Site,
    reference: Reference,
    connections: Vec<Option<ConnectionId>>,
    /// The topics that the broker gave aliases to.
    aliases: HashMap<(ConnectionId, NonZeroU16), TopicName>,
    /// What the broker must have answered since the last look.
    answers: Vec<Vec<String>>,
    messages: u32,
    log: Vec<String>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random(seed);
        let mut reference = Reference::default();
        for who in 0..PEOPLE {
            reference.add(who % 2 == 0, random.of(&[1, 2, 5, 50]));
        }
        History {
            random,
            site: Site::with(Limits { receive_maximum: 50, ..Limits::default() }),
            reference,
            connections: vec![None; PEOPLE],
            aliases: HashMap::new(),
            answers: vec![Vec::new(); PEOPLE],
            messages: 0,
            log: Vec::new(),
        }
    }

    fn step(&mut self) {
        let who = self.random.below(PEOPLE);
        let connection = self.connections[who].filter(|_| self.reference.people[who].is_here);
        let Some(connection) = connection else { return self.connect(who) };
        match self.random.below(100) {
            0..3 => self.connect(who),
            3..7 => self.leave(who, connection),
            7..9 => {
                let seconds = self.random.of(&[1, EXPIRY / 2, EXPIRY]);
                self.log.push(format!("{seconds} seconds pass"));
                self.site.wait(seconds);
                self.reference.wait(seconds);
            }
            9..19 => self.subscribe(who, connection),
            19..22 => self.unsubscribe(who, connection),
            22..60 => self.publish(who, connection),
            60..66 => self.release(who, connection),
            _ => self.answer(who, connection),
        }
    }

    fn message(&mut self) -> Message {
        self.messages += 1;
        let retain = self.random.chance(20);
        let is_empty = retain && self.random.chance(25);
        Message {
            topic: self.random.of(&TOPICS),
            qos: self.random.of(&[0, 1, 2]),
            retain,
            payload: if is_empty { String::new() } else { format!("m{}", self.messages) },
        }
    }

    fn connect(&mut self, who: usize) {
        let (is_clean, is_lasting) =
            self.random.of(&[(true, false), (false, true), (false, true), (true, true)]);
        let person = &self.reference.people[who];
        let name = format!("client {who}");
        // 3.1.1 has one flag for both.
        let (mut hello, is_lasting) = match person.is_v5 {
            true => {
                (v5(&name).expiry(if is_lasting { u32::try_from(EXPIRY).unwrap() } else { 0 }), is_lasting)
            }
            false => (v311(&name), !is_clean),
        };
        hello = hello.clean_start(is_clean);
        if person.is_v5 {
            hello = hello.receive_maximum(u16::try_from(person.window).unwrap()).topic_alias_maximum(2);
        } else {
            self.reference.people[who].window = 50;
        }
        let last = self.random.chance(30).then(|| self.message());
        if let Some(last) = &last {
            let mut said = will(last.topic, &last.payload);
            said.qos = tidegate::mqtt::QoS::from_u8(last.qos).unwrap();
            said.retain = last.retain;
            hello = hello.will(said);
        }
        self.log.push(format!("{who} connects, clean {is_clean}, lasting {is_lasting}, will {last:?}"));
        let was_there = self.reference.connect(who, is_clean, is_lasting, last);
        self.connections[who] = Some(self.site.connect(hello));
        self.answers[who] = vec![if was_there { "connack 00 present" } else { "connack 00" }.to_owned()];
    }

    fn leave(&mut self, who: usize, connection: ConnectionId) {
        let is_polite = self.random.chance(30);
        self.log.push(format!("{who} leaves, politely {is_polite}"));
        if is_polite {
            self.site.send(connection, disconnect(ReasonCode::Success));
        } else {
            self.site.lose(connection);
        }
        self.reference.leave(who, !is_polite);
        self.connections[who] = None;
    }

    fn subscribe(&mut self, who: usize, connection: ConnectionId) {
        let filter = self.random.of(&FILTERS);
        let is_v5 = self.reference.people[who].is_v5;
        let mut wish =
            Wish { qos: self.random.of(&[0, 1, 2]), identifier: None, no_local: false, as_published: false };
        let mut handling = 0;
        if is_v5 {
            wish.identifier = self.random.of(&[None, Some(1), Some(2), Some(300)]);
            wish.no_local = self.random.chance(20);
            wish.as_published = self.random.chance(30);
            handling = self.random.of(&[0, 0, 1, 2]);
        }
        let options = SubscriptionOptions {
            no_local: wish.no_local,
            retain_as_published: wish.as_published,
            retain_handling: [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]
                [usize::from(handling)],
            ..options(wish.qos)
        };
        self.log.push(format!("{who} subscribes to {filter}, {wish:?}, retain handling {handling}"));
        self.site.send(connection, subscribe_all(9, wish.identifier, &[(filter, options)]));
        self.reference.subscribe(who, filter, wish, handling);
        self.answers[who].push(format!("suback #9 {:02x}", wish.qos));
    }

    fn unsubscribe(&mut self, who: usize, connection: ConnectionId) {
        let filter = self.random.of(&FILTERS);
        self.log.push(format!("{who} unsubscribes from {filter}"));
        self.site.send(connection, unsubscribe(8, &[filter]));
        let was_there = self.reference.unsubscribe(who, filter);
        let code = match (self.reference.people[who].is_v5, was_there) {
            (false, _) => "",
            (true, true) => " 00",
            (true, false) => " 11",
        };
        self.answers[who].push(format!("unsuback #8{code}"));
    }

    fn publish(&mut self, who: usize, connection: ConnectionId) {
        let message = self.message();
        let identifier = self.random.of(&[1, 2, 3]);
        self.log.push(format!("{who} publishes {message:?} as #{identifier}"));
        let mut says = publish(message.topic, message.qos, identifier, &message.payload);
        says.0.retain = message.retain;
        let received = &mut self.reference.people[who].session.as_mut().unwrap().received;
        let is_repeated = message.qos == 2 && !received.insert(identifier);
        says.0.dup = is_repeated;
        self.site.send(connection, says);
        let is_wanted = is_repeated || self.reference.publish(who, &message);
        let code = if is_wanted || !self.reference.people[who].is_v5 { "" } else { " 10" };
        match message.qos {
            0 => {}
            1 => self.answers[who].push(format!("puback #{identifier}{code}")),
            _ => self.answers[who].push(format!("pubrec #{identifier}{code}")),
        }
    }

    fn release(&mut self, who: usize, connection: ConnectionId) {
        let identifier = self.random.of(&[1, 2, 3]);
        self.log.push(format!("{who} releases #{identifier}"));
        self.site.send(connection, pubrel(identifier));
        let person = &mut self.reference.people[who];
        let is_known = person.session.as_mut().unwrap().received.remove(&identifier);
        let code = if is_known || !person.is_v5 { "" } else { " 92" };
        self.answers[who].push(format!("pubcomp #{identifier}{code}"));
    }

    /// Answers one of the open messages, the oldest or any other.
    fn answer(&mut self, who: usize, connection: ConnectionId) {
        let person = &mut self.reference.people[who];
        let open = &person.session.as_ref().unwrap().open;
        if open.is_empty() {
            return;
        }
        let place = if self.random.chance(50) { 0 } else { self.random.below(open.len()) };
        let (qos, identifier, is_released) =
            (open[place].qos, open[place].identifier.unwrap(), open[place].is_released);
        let is_refused = person.is_v5 && !is_released && self.random.chance(10);
        self.log.push(format!("{who} answers #{identifier}, refuses {is_refused}"));
        let packet = match (qos, is_released, is_refused) {
            (1, _, true) => Packet::PubAck(refusal(identifier)),
            (1, _, false) => puback(identifier),
            (_, false, true) => Packet::PubRec(refusal(identifier)),
            (_, false, false) => pubrec(identifier),
            (_, true, _) => pubcomp(identifier),
        };
        self.site.send(connection, packet);
        if qos == 2 && !is_released && !is_refused {
            person.received(place);
        } else {
            person.done(place);
        }
    }

    /// Everybody has heard what they must, and nothing else.
    fn compare(&mut self, place: &str) {
        for who in 0..PEOPLE {
            let Some(connection) = self.connections[who] else { continue };
            let mut heard = Heard::default();
            for mut packet in self.site.take(connection).0 {
                name_topic(&mut self.aliases, connection, &mut packet);
                heard.sort(packet);
            }
            let person = &mut self.reference.people[who];
            let wanted_n = std::mem::take(&mut person.heard_n);
            let log = || self.log.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n");
            // Between qualities of service there is no order: QoS 2 waits for its identifier to be on disk.
            for qos in [1, 2] {
                let wanted = wanted_n.iter().filter(|owed| owed.qos == qos).map(|owed| &owed.line);
                let heard = heard.n.iter().filter(|heard| heard.qos == qos).map(|heard| &heard.line);
                let (wanted, heard): (Vec<_>, Vec<_>) = (wanted.collect(), heard.collect());
                assert_eq!(heard, wanted, "{place}: client {who} at QoS {qos}, after\n{}", log());
            }
            assert_eq!(
                heard.zero,
                std::mem::take(&mut person.heard_0),
                "{place}: client {who} at QoS 0, after\n{}",
                log()
            );
            heard.releases.sort_unstable();
            person.releases.sort_unstable();
            assert_eq!(
                heard.releases,
                std::mem::take(&mut person.releases),
                "{place}: {who}, after\n{}",
                log()
            );
            let answers = std::mem::take(&mut self.answers[who]);
            assert_eq!(heard.answers, answers, "{place}: answers to {who}, after\n{}", log());
            for qos in [1, 2] {
                person.learn_identifiers(qos, &wanted_n, &heard.n, place);
            }
        }
    }
}

/// Puts the topic that an alias stands for in its place.
fn name_topic(
    aliases: &mut HashMap<(ConnectionId, NonZeroU16), TopicName>,
    connection: ConnectionId,
    packet: &mut Packet,
) {
    let Packet::Publish(publish) = packet else { return };
    let Some(alias) = publish.topic_alias else { return };
    match &publish.topic {
        Some(topic) => {
            aliases.insert((connection, alias), topic.clone());
        }
        None => publish.topic = aliases.get(&(connection, alias)).cloned(),
    }
}

impl Person {
    /// The broker chose identifiers: new ones are not in use, repeated ones are the same.
    fn learn_identifiers(&mut self, qos: u8, wanted: &[Owed], heard: &[HeardMessage], place: &str) {
        let wanted = wanted.iter().filter(|owed| owed.qos == qos);
        let heard = heard.iter().filter(|heard| heard.qos == qos);
        let Some(session) = &mut self.session else { return };
        for (owed, HeardMessage { identifier, line, .. }) in wanted.zip(heard) {
            if owed.identifier.is_some() {
                assert_eq!(owed.identifier, Some(*identifier), "{place}: {line}");
                continue;
            }
            let is_used = session.open.iter().any(|open| open.identifier == Some(*identifier));
            assert!(!is_used, "{place}: #{identifier} of {line} is in use");
            let is_it = |open: &&mut Owed| open.identifier.is_none() && open.line == owed.line;
            session.open.iter_mut().find(is_it).expect("it is open").identifier = Some(*identifier);
        }
    }
}

struct HeardMessage {
    qos: u8,
    identifier: u16,
    line: String,
}

/// What a client heard, sorted.
#[derive(Default)]
struct Heard {
    zero: Vec<String>,
    n: Vec<HeardMessage>,
    releases: Vec<u16>,
    answers: Vec<String>,
}

impl Heard {
    fn sort(&mut self, packet: Packet) {
        match &packet {
            Packet::Publish(publish) => {
                let mut line = String::new();
                if publish.dup {
                    line.push_str("dup ");
                }
                let topic = publish.topic.as_ref().expect("it was named").as_str();
                line.push_str(&format!("{topic} q{}", publish.qos.qos().as_u8()));
                if publish.retain {
                    line.push_str(" retain");
                }
                if let Some(all) = &publish.properties {
                    let mut identifiers = all.subscription_identifiers.clone();
                    identifiers.sort_unstable();
                    identifiers.dedup();
                    identifiers.iter().for_each(|identifier| line.push_str(&format!(" sub={identifier}")));
                }
                line.push_str(&format!(" {}", String::from_utf8_lossy(&publish.payload)));
                match publish.qos.packet_identifier() {
                    None => self.zero.push(line),
                    Some(identifier) => {
                        let (qos, identifier) = (publish.qos.qos().as_u8(), identifier.get());
                        self.n.push(HeardMessage { qos, identifier, line });
                    }
                }
            }
            Packet::PubRel(release) => self.releases.push(release.packet_identifier.get()),
            other => self.answers.push(super::lines::said(other)),
        }
    }
}
