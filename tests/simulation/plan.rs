//! What a seed chooses before its history begins: who takes part, how large the bounds are, what goes wrong.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate::limits::Limits;
use tidegate::mqtt::{ProtocolVersion, QoS};

use crate::random::Random;

/// A fault planted into the harness, to prove that the harness finds it. Never in the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedBug {
    /// The broker is told "committed" as soon as it appends.
    AcknowledgesBeforeCommit,
    /// The disk takes `sync_data` for done without doing it.
    DiskIgnoresSync,
    /// A delivery counts as acknowledged by the cloud as soon as it is sent.
    DoneWhenSent,
}

/// What one model client is like.
#[derive(Debug, Clone)]
pub struct Character {
    pub version: ProtocolVersion,
    pub persistent: bool,
    pub publishes: bool,
    /// Reads slowly, and acknowledges late.
    pub is_slow: bool,
    pub receive_maximum: NonZeroU16,
    pub keep_alive_seconds: u16,
    /// What it may subscribe to, with the QoS that it asks for.
    pub filters: Vec<(String, QoS)>,
}

/// The choices of one seed.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub bug: Option<PlantedBug>,
    pub clients: Vec<Character>,
    pub sensors: usize,
    /// What the uplink forwards; empty without an uplink.
    pub forward: Vec<(String, QoS)>,
    pub uplink_version: ProtocolVersion,
    pub uplink_window: u16,
    pub limits: Limits,
    pub commit_interval: Duration,
    pub segment_bytes: u64,
    pub journal_bytes: u64,
    /// How long things go wrong.
    pub storm: Duration,
    /// The mean time between two deaths of the gateway; `None`: it lives.
    pub death_every: Option<Duration>,
    /// Of the deaths, how many in a thousand are power cuts; the others only kill the process.
    pub power_cuts: u64,
    /// How often in a thousand steps a client does something rude.
    pub rudeness: u64,
    /// Longest time that a packet is on the way.
    pub latency: Duration,
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        let clients = random.between(2, 5);
        let clients: Vec<Character> = (0..clients).map(|_| character(&mut random, clients)).collect();
        let has_uplink = random.chance(800);
        let forward = if has_uplink { forward(&mut random, clients.len()) } else { Vec::new() };
        let mut limits = Limits { receive_maximum: 20, ..Limits::default() };
        if random.chance(200) {
            limits.receive_maximum = 10;
            limits.max_outbox_bytes = 200;
        }
        Plan {
            seed,
            bug: None,
            clients,
            sensors: usize::try_from(random.below(3)).expect("few"),
            forward,
            uplink_version: *random.pick(&[ProtocolVersion::V3_1_1, ProtocolVersion::V5]),
            uplink_window: *random.pick(&[1, 5, 1000]),
            limits,
            commit_interval: Duration::from_millis(*random.pick(&[20, 200, 1000])),
            segment_bytes: *random.pick(&[64 * 1024, 128 * 1024]),
            // Each commit takes a page; the longest storm must fit.
            journal_bytes: 32 * 1024 * 1024,
            storm: Duration::from_millis(if random.chance(100) {
                15_000
            } else {
                random.between(1_000, 4_000)
            }),
            death_every: random.chance(850).then(|| Duration::from_millis(random.between(200, 2_000))),
            power_cuts: *random.pick(&[0, 500, 1000]),
            rudeness: *random.pick(&[0, 20, 80]),
            latency: Duration::from_millis(*random.pick(&[1, 10, 80])),
        }
    }
}

fn character(random: &mut Random, clients: u64) -> Character {
    let filters = (0..random.between(1, 4)).map(|_| {
        let qos = *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        (filter(random, clients), qos)
    });
    let mut filters: Vec<(String, QoS)> = filters.collect();
    filters.sort();
    filters.dedup_by(|a, b| a.0 == b.0);
    Character {
        filters,
        version: *random.pick(&[ProtocolVersion::V3_1_1, ProtocolVersion::V5, ProtocolVersion::V5]),
        persistent: random.chance(700),
        publishes: random.chance(800),
        is_slow: random.chance(200),
        receive_maximum: NonZeroU16::new(*random.pick(&[1, 3, 20, 1000])).expect("not zero"),
        keep_alive_seconds: *random.pick(&[0, 2, 60]),
    }
}

fn filter(random: &mut Random, clients: u64) -> String {
    let client = random.below(clients);
    let last = random.below(3);
    match random.below(6) {
        0 => "#".to_owned(),
        1 => format!("p{client}/#"),
        2 => format!("+/{last}"),
        3 => format!("p{client}/+"),
        4 => "sensors/#".to_owned(),
        _ => format!("p{client}/{last}"),
    }
}

fn forward(random: &mut Random, clients: usize) -> Vec<(String, QoS)> {
    let qos = *random.pick(&[QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    if random.chance(300) {
        return vec![("#".to_owned(), qos)];
    }
    let half = (0..clients)
        .filter(|_| random.chance(500))
        .map(|client| (format!("p{client}/#"), qos))
        .collect::<Vec<_>>();
    half.into_iter().chain([("sensors/#".to_owned(), qos)]).collect()
}
