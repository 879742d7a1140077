//! Random histories: whatever breaks, and whenever, nothing is lost, nothing is double that must not be, and no
//! message overtakes another of its topic.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{Input, Options, Order};
use super::world::{World, version_3};
use crate::mqtt::{Packet, PublishQoS, QoS, ReasonCode};

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A message is accepted, on one of three topics.
    Keep(u8),
    Commit,
    /// Everything that can happen without the disk, happens.
    Flow,
    AnswerLoad,
    AnswerOpen,
    CloudTakes(u8),
    GatewayHears(u8),
    /// A reading or an answer is lost with everything behind it, and the link with them.
    LinkBreaks,
    /// An acknowledgement is lost though the link goes on: only a bad server does that.
    AcknowledgementLost,
    /// An acknowledgement comes twice.
    AcknowledgementTwice,
    /// The acknowledgements that are on the way change places.
    AcknowledgementsSwapped,
    NetworkGoes,
    NetworkComes,
    SessionForgotten,
    /// The power fails.
    Crash,
    /// The process dies after it wrote what waits for the disk.
    Kill,
    /// The server refuses one publish for now.
    Refused,
    /// The pause between two attempts passes.
    Attempt,
    /// Nothing happens until the next deadline.
    Silence,
    Second,
}

fn step() -> impl Strategy<Value = Step> {
    // Calamities are rare enough for something to be under way when they come.
    prop_oneof![
        12 => (0..3_u8).prop_map(Step::Keep),
        10 => Just(Step::Commit),
        10 => Just(Step::Flow),
        5 => Just(Step::AnswerLoad),
        5 => Just(Step::AnswerOpen),
        10 => (1..6_u8).prop_map(Step::CloudTakes),
        10 => (1..6_u8).prop_map(Step::GatewayHears),
        2 => Just(Step::LinkBreaks),
        1 => Just(Step::AcknowledgementLost),
        1 => Just(Step::AcknowledgementTwice),
        1 => Just(Step::AcknowledgementsSwapped),
        1 => Just(Step::NetworkGoes),
        6 => Just(Step::NetworkComes),
        1 => Just(Step::SessionForgotten),
        2 => Just(Step::Crash),
        2 => Just(Step::Kill),
        10 => Just(Step::Attempt),
        1 => Just(Step::Silence),
        1 => Just(Step::Second),
    ]
}

fn keeps_session(step: &Step) -> bool {
    !matches!(step, Step::SessionForgotten)
}

/// As [`step`], with a server that refuses something now and then.
fn rude_step() -> impl Strategy<Value = Step> {
    prop_oneof![12 => step(), 1 => Just(Step::Refused)]
}

/// A message that was accepted: its topic, its number, and whether it is QoS 2.
type Kept = (u8, u64, bool);

struct History {
    world: World,
    kept: Vec<Kept>,
    committed: usize,
    forgotten: bool,
    qualities: fn(u64) -> QoS,
    topics: [&'static str; 3],
    is_ordered: bool,
}

impl History {
    fn new(window: u16, receive_maximum: u16, version_5: bool, qualities: fn(u64) -> QoS) -> History {
        let mut world = World::with(|options| {
            options.window = window;
            if !version_5 {
                version_3(options);
            }
        });
        world.cloud.connack.receive_maximum = NonZeroU16::new(receive_maximum);
        let topics = ["t/0", "t/1", "t/2"];
        let is_ordered = true;
        History { world, kept: Vec::new(), committed: 0, forgotten: false, qualities, topics, is_ordered }
    }

    /// Several queues; in an order that keeps order, or not.
    fn with_queues(window: u16, order: Order, qualities: fn(u64) -> QoS) -> History {
        let world = World::with_queues(|options: &mut Options| {
            options.window = window;
            options.order = order;
        });
        let topics = ["t/0", "alarm/1", "bulk/2"];
        let is_ordered = order == Order::Fifo;
        History { world, kept: Vec::new(), committed: 0, forgotten: false, qualities, topics, is_ordered }
    }

    fn step(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Keep(topic) => {
                let qos = (self.qualities)(u64::try_from(self.kept.len()).unwrap());
                let number = world.keep_on(self.topics[usize::from(topic)], qos);
                self.kept.push((topic, number, qos == QoS::ExactlyOnce));
            }
            Step::Commit => self.commit(),
            Step::Flow => {
                world.answer_open();
                while world.answer_load() || world.step_cloud() || world.step_gateway() {}
            }
            Step::AnswerLoad => _ = world.answer_load(),
            Step::AnswerOpen => _ = world.answer_open(),
            Step::CloudTakes(count) => {
                for _ in 0..count {
                    world.step_cloud();
                }
            }
            Step::GatewayHears(count) => {
                for _ in 0..count {
                    world.step_gateway();
                }
            }
            Step::LinkBreaks => world.break_link(),
            Step::AcknowledgementLost => {
                if world.to_gateway.front().is_some_and(is_acknowledgement) {
                    world.to_gateway.pop_front();
                }
            }
            Step::AcknowledgementTwice => {
                if let Some(first) =
                    world.to_gateway.front().filter(|first| is_acknowledgement(first)).cloned()
                {
                    world.to_gateway.push_front(first);
                }
            }
            Step::AcknowledgementsSwapped => {
                if world.to_gateway.iter().all(is_acknowledgement) {
                    world.to_gateway.make_contiguous().reverse();
                }
            }
            Step::NetworkGoes => {
                world.network = false;
                world.break_link();
            }
            Step::NetworkComes => world.network = true,
            Step::SessionForgotten => {
                world.break_link();
                self.forgotten |= world.cloud.has_session;
                world.cloud.forget();
            }
            Step::Refused => {
                world.cloud.refuses.push_back(ReasonCode::QuotaExceeded);
                self.is_ordered = false;
            }
            Step::Crash => {
                world.crash();
                self.kept.truncate(self.committed);
            }
            Step::Kill => world.kill(),
            Step::Attempt if world.connected => {}
            Step::Attempt | Step::Silence => _ = world.wait(),
            Step::Second => world.advance(Duration::from_secs(1)),
        }
    }

    fn commit(&mut self) {
        self.committed = self.kept.len();
        self.world.commit();
    }

    /// The world becomes kind, and stays so until all is quiet.
    fn end(&mut self) {
        self.world.network = true;
        for _ in 0..1000 {
            self.commit();
            self.world.settle();
            let status = self.world.forwarder.status();
            if self.world.journal.owed().is_empty()
                && status.in_flight == 0
                && status.connected_since.is_some()
            {
                return;
            }
            self.world.wait();
        }
        panic!("something is stuck: {:?}, owed {:?}", self.world.forwarder, self.world.journal.owed());
    }

    fn check(&self) {
        let mut arrivals: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
        let mut first_seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (at, (topic, payload)) in self.world.cloud.arrived.iter().enumerate() {
            let number: u64 = std::str::from_utf8(payload).unwrap().parse().unwrap();
            let entry = arrivals.entry(number).or_insert((at, 0));
            entry.1 += 1;
            if entry.1 == 1 {
                first_seen.entry(topic.as_str()).or_default().push(number);
            }
        }
        for (topic, number, exactly_once) in &self.kept {
            let Some((_, times)) = arrivals.get(number) else {
                panic!("message {number} on t/{topic} was lost");
            };
            assert!(!exactly_once || self.forgotten || *times == 1, "message {number} came {times} times");
        }
        for (topic, numbers) in first_seen {
            assert!(!self.is_ordered || numbers.is_sorted(), "order on {topic}: {numbers:?}");
        }
        assert!(self.world.journal.phases().is_empty(), "an identifier is left open on disk");
    }
}

fn is_acknowledgement(packet: &Packet) -> bool {
    matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
}

fn run(steps: &[Step], window: u16, receive_maximum: u16, version_5: bool, qualities: fn(u64) -> QoS) {
    play(steps, window.min(receive_maximum), History::new(window, receive_maximum, version_5, qualities));
}

fn play(steps: &[Step], most_open: u16, mut history: History) {
    for step in steps {
        history.step(*step);
        // [MQTT-3.3.4-7]
        assert!(history.world.cloud.most_open <= usize::from(most_open));
    }
    history.end();
    history.check();
}

#[test]
fn a_message_that_the_server_refuses_for_now_is_not_laid_aside_because_the_link_breaks() {
    use Step::{
        Attempt, Commit, Flow, Keep, LinkBreaks, NetworkComes, NetworkGoes, Refused, SessionForgotten,
    };
    let steps = [
        Keep(0),
        Commit,
        Attempt,
        Flow,
        LinkBreaks,
        Attempt,
        Refused,
        Attempt,
        Attempt,
        Flow,
        SessionForgotten,
        Attempt,
        Attempt,
        Attempt,
        Flow,
        LinkBreaks,
        Attempt,
        Commit,
        Flow,
        LinkBreaks,
        Attempt,
        Attempt,
        Refused,
        Attempt,
        Flow,
        NetworkGoes,
        Refused,
        NetworkComes,
        Attempt,
        Flow,
        Refused,
        LinkBreaks,
        Attempt,
        Flow,
        SessionForgotten,
    ];
    let mixed = |at: u64| if at.is_multiple_of(3) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
    play(&steps, 1, History::with_queues(1, Order::Fifo, mixed));
}

/// The journal was asked when there was nothing live, and answers when there is: both readers had the last message.
#[test]
fn live_first_sends_nothing_twice_that_came_while_a_connection_was_made_anew() {
    use Step::{
        AnswerOpen, Attempt, CloudTakes, Commit, Crash, Flow, GatewayHears, Keep, LinkBreaks, NetworkComes,
        Refused,
    };
    let mut steps = vec![Crash, Keep(0), Commit, Commit];
    steps.extend([Keep(0); 6]);
    steps.extend([Commit, Keep(2), Commit, Commit, Commit, Keep(0), Keep(0), Keep(0), NetworkComes, Attempt]);
    steps.extend([Commit, Flow, Keep(2), Keep(2), Commit, Keep(0), LinkBreaks, Keep(2), Attempt, AnswerOpen]);
    steps.extend([CloudTakes(1), GatewayHears(1), Refused]);
    let mixed = |at: u64| if at.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
    let history = History::with_queues(11, Order::LiveFirst { backlog_percent: 1 }, mixed);
    play(&steps, 11, history);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_the_order_of_first_arrival_is_kept_at_qos_1(
        steps in prop::collection::vec(step(), 1..300),
        window in 1..20_u16,
        receive_maximum in 1..20_u16,
        version_5: bool,
    ) {
        run(&steps, window, receive_maximum, version_5, |_| QoS::AtLeastOnce);
    }

    #[test]
    fn qos_2_arrives_exactly_once_while_the_server_keeps_its_session(
        steps in prop::collection::vec(step().prop_filter("the session is kept", keeps_session), 1..300),
        window in 1..20_u16,
        receive_maximum in 1..20_u16,
        version_5: bool,
    ) {
        run(&steps, window, receive_maximum, version_5, |_| QoS::ExactlyOnce);
    }

    #[test]
    fn mixed_qualities_keep_all_three_promises(
        steps in prop::collection::vec(step(), 1..300),
        window in 1..20_u16,
        receive_maximum in 1..20_u16,
    ) {
        let mixed = |at: u64| if at.is_multiple_of(3) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        run(&steps, window, receive_maximum, true, mixed);
    }

    #[test]
    fn with_several_queues_all_promises_hold_for_each(
        steps in prop::collection::vec(rude_step(), 1..300),
        window in 1..20_u16,
    ) {
        let mixed = |at: u64| if at.is_multiple_of(3) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        play(&steps, window, History::with_queues(window, Order::Fifo, mixed));
    }

    #[test]
    fn live_first_loses_nothing_and_qos_2_arrives_exactly_once(
        steps in prop::collection::vec(rude_step().prop_filter("the session is kept", keeps_session), 1..300),
        window in 1..20_u16,
        backlog_percent in 1..101_u32,
    ) {
        let mixed = |at: u64| if at.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        play(&steps, window, History::with_queues(window, Order::LiveFirst { backlog_percent }, mixed));
    }

    #[test]
    fn live_first_loses_nothing_when_sessions_are_forgotten(
        steps in prop::collection::vec(rude_step(), 1..300),
        window in 1..20_u16,
    ) {
        let order = Order::LiveFirst { backlog_percent: 30 };
        play(&steps, window, History::with_queues(window, order, |_| QoS::AtLeastOnce));
    }

    #[test]
    fn no_packet_of_a_hostile_server_brings_the_bridge_down(
        packets in prop::collection::vec((0..9_u8, 1..12_u16, any::<bool>()), 1..100),
        connected: bool,
    ) {
        let mut world = World::new();
        if connected {
            world.connect();
        } else {
            world.input(Input::Timeout);
            world.answer_open();
        }
        for (at, (kind, number, bad)) in packets.into_iter().enumerate() {
            world.keep(1, if at.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce });
            world.answer_load();
            world.commit();
            world.input(Input::Packets(vec![hostile(kind, number, bad)]));
            world.wait();
            world.answer_open();
        }
        world.break_link();
        for _ in 0..10 {
            world.connect();
            world.settle();
            world.wait();
        }
        prop_assert!(world.journal.owed().is_empty());
    }
}

fn hostile(kind: u8, number: u16, bad: bool) -> Packet {
    use crate::mqtt::{ConnAck, ConnAckProperties, Disconnect, Publish, ReasonCode, SubAck, TopicName};
    let reason = if bad { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
    let ack = super::world::ack(number, reason);
    match kind {
        0 => Packet::PubAck(ack),
        1 => Packet::PubRec(ack),
        2 => Packet::PubRel(ack),
        3 => Packet::PubComp(ack),
        4 => {
            let properties = ConnAckProperties::default();
            Packet::ConnAck(Box::new(ConnAck {
                session_present: bad,
                reason: ReasonCode::Success,
                properties,
            }))
        }
        5 => Packet::Publish(Publish {
            dup: bad,
            qos: PublishQoS::ExactlyOnce(ack.packet_identifier),
            retain: false,
            topic: number.is_multiple_of(2).then(|| TopicName::parse("x").unwrap()),
            topic_alias: None,
            payload: bytes::Bytes::new(),
            properties: None,
        }),
        6 => Packet::SubAck(Box::new(SubAck {
            packet_identifier: ack.packet_identifier,
            properties: None,
            reasons: vec![],
        })),
        7 => Packet::Disconnect(Box::new(Disconnect::new(reason))),
        _ => Packet::PingReq,
    }
}
