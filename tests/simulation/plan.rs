//! What a seed chooses before its history begins: who takes part, how large the bounds are, what goes wrong.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate::journal::{WhenFull, WhenUsedUp};
use tidegate::limits::Limits;
use tidegate::mqtt::{ProtocolVersion, QoS};

use crate::random::Random;
use crate::share::Share;

/// A fault planted into the harness, to prove that the harness finds it. Never in the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedBug {
    /// The broker is told "committed" as soon as it appends.
    AcknowledgesBeforeCommit,
    /// The disk takes `sync_data` for done without doing it.
    DiskIgnoresSync,
    /// A delivery counts as acknowledged by the cloud as soon as it is sent: the cursor is ahead of the ack.
    DoneWhenSent,
    /// PUBCOMP goes out as soon as PUBREL comes in.
    CompletesBeforeCommit,
    /// A sync that failed is asked for again on the same file, which then says that all is well.
    RetriesSync,
    /// Checksums without their seed and numbers that begin anew: commits of an earlier life of a file count.
    StaleCommitsPass,
    /// Each checkpoint says what the one before it said.
    StaleCheckpoint,
    /// The journal is never told of the uplink's share.
    ForgetsShare,
    /// Drops are told to nobody.
    DropsUncounted,
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
    /// Whether the uplink is given what is not yet on disk, and spares the disk what the cloud has in time.
    pub uplink_is_eager: bool,
    pub limits: Limits,
    pub commit_interval: Duration,
    pub segment_bytes: u64,
    /// How many places of messages the journal keeps in memory: with few, older segments are read again and again.
    pub places_max: usize,
    pub journal_bytes: u64,
    pub when_full: WhenFull,
    /// What of the journal the uplink may have.
    pub share: Option<Share>,
    /// How old a message may become for anybody.
    pub max_age: Option<Duration>,
    /// Whether hardly anything may wait for one session.
    pub queues_are_tight: bool,
    /// Bytes that every payload is longer than it needs to be.
    pub padding: usize,
    /// Whether the disk fails, dies and fills up now and then.
    pub disk_is_bad: bool,
    /// Whether the wall clock is wrong at boot and jumps by years.
    pub clock_jumps: bool,
    /// How long the gateway is down at most.
    pub downtime: Duration,
    /// Whether publishers take the lowest identifier that is free, not the next one.
    pub reuses_identifiers: bool,
    /// The longest that a commit takes; an SD card stalls now and then.
    pub slowest_commit: Duration,
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
        let sensors = usize::try_from(random.below(3)).expect("few");
        let uplink_version = *random.pick(&[ProtocolVersion::V3_1_1, ProtocolVersion::V5]);
        let uplink_window = *random.pick(&[1, 5, 1000]);
        let commit_interval = Duration::from_millis(*random.pick(&[20, 200, 1000]));
        let segment_bytes = *random.pick(&[64 * 1024, 128 * 1024]);
        // A stream of its own, so that what goes wrong with the disk does not shift everything else.
        let mut disk = Random::new(seed ^ 0xD15C);
        let dies_often = disk.chance(500);
        let dies_always = Random::new(seed ^ 0x51FA).chance(600);
        let is_slow = Random::new(seed ^ 0x516).chance(350);
        let is_small = disk.chance(200);
        // Each commit takes a page; otherwise the longest storm must fit.
        let (journal_bytes, padding) = if is_small { (8 * segment_bytes, 8_000) } else { (32 << 20, 0) };
        let when_full = *disk.pick(&[WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block]);
        let Bounds { keeps_latest, queued, share, max_age } = Bounds::new(seed, padding);
        let when_full = if keeps_latest { WhenFull::KeepLatest } else { when_full };
        limits.max_queued_messages = queued.unwrap_or(limits.max_queued_messages);
        Plan {
            seed,
            bug: None,
            clients,
            sensors,
            forward,
            uplink_version,
            uplink_window,
            uplink_is_eager: Random::new(seed ^ 0xEA6E).chance(400),
            limits,
            commit_interval,
            segment_bytes,
            places_max: *Random::new(seed ^ 0x91A).pick(&[0, 10, usize::MAX]),
            journal_bytes,
            when_full,
            share,
            max_age,
            queues_are_tight: queued.is_some(),
            padding,
            downtime: Duration::from_millis(if dies_always {
                30
            } else if dies_often {
                100
            } else {
                1_500
            }),
            slowest_commit: Duration::from_millis(if is_slow { 400 } else { 20 }),
            disk_is_bad: disk.chance(300),
            clock_jumps: disk.chance(300),
            reuses_identifiers: disk.chance(500),
            storm: Duration::from_millis(if random.chance(100) {
                15_000
            } else {
                random.between(1_000, 4_000)
            }),
            death_every: random.chance(850).then(|| Duration::from_millis(random.between(200, 2_000))).map(
                |mean| {
                    if dies_always {
                        mean / 25
                    } else if dies_often {
                        mean / 10
                    } else {
                        mean
                    }
                },
            ),
            power_cuts: *random.pick(&[0, 500, 1000]),
            rudeness: *random.pick(&[0, 20, 80]),
            latency: Duration::from_millis(*random.pick(&[1, 10, 80])),
        }
    }

    /// Whether counted drops are part of the history: some bound is there to be reached, or the disk fails.
    pub fn drops_are_expected(&self) -> bool {
        let is_tight = self.queues_are_tight || self.share.is_some() || self.max_age.is_some();
        self.padding > 0 || self.disk_is_bad || is_tight
    }
}

/// Bounds that are there to be reached, in some histories.
struct Bounds {
    keeps_latest: bool,
    /// Messages that one session may be owed.
    queued: Option<usize>,
    share: Option<Share>,
    max_age: Option<Duration>,
}

impl Bounds {
    fn new(seed: u64, padding: usize) -> Bounds {
        // With this number the histories that went wrong before there were bounds have none.
        let mut random = Random::new(seed ^ 0x922);
        let seconds = |random: &mut Random| Duration::from_secs(random.between(1, 4));
        let share = random.chance(200).then(|| Share {
            max_bytes: *random.pick(&[1, 3, 20]) * (300 + padding as u64),
            when_used_up: *random.pick(&[WhenUsedUp::DropOldest, WhenUsedUp::DropNewest]),
            max_age: random.chance(300).then(|| seconds(&mut random)),
        });
        Bounds {
            share,
            keeps_latest: random.chance(250),
            queued: random.chance(150).then(|| *random.pick(&[1, 5, 40])),
            max_age: random.chance(100).then(|| seconds(&mut random)),
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
