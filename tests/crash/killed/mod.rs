//! The whole gateway as a process that is killed with publishers at work, time after time: what was acknowledged is
//! delivered, in order, and at QoS 2 once.
//!
//! Each kill waits for a moment of its own ([`phase::Phase`]) and counts only when that moment was seen; there are more
//! kills until each was. Most messages are taken at once by somebody who is there; a few are kept for somebody who is
//! away, so that every segment holds something that is needed, and compaction has to copy it.
//!
//! `cargo test --release --test crash killed -- --ignored --nocapture` kills ten times at 2,000 and ten times at 40,000
//! messages a second; the short form, each moment once, runs always. `TIDEGATE_KILLS=100` says how many.

mod gateway;
mod phase;
mod publisher;
mod subscriber;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crash_disk::Rng;
use crate::skips::skip;
use gateway::Gateway;
use phase::{Observer, PHASES, Phase};
use publisher::{Orders, Publisher};
use subscriber::{Received, receive};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// After that a kill does not wait for its moment any more; another one will.
const MOMENT_PATIENCE: Duration = Duration::from_secs(15);
/// So many kills more than were asked for may be needed until each moment was seen.
const MORE_KILLS: usize = 12;
/// A sixteenth of the journal is a segment: compaction begins when eight are in use.
const ROOM: &str = "16MiB";

/// Everybody who publishes: three for whoever is there, at QoS 1; two for whoever is away, at QoS 1 and 2.
fn publishers(rate: u64) -> [Publisher; 5] {
    let kept = (rate / 20).min(500);
    let others = (rate - 2 * kept) / 3;
    [
        Publisher::new("h1", "load", 1, others, 1000),
        Publisher::new("h2", "load", 1, others, 1000),
        Publisher::new("h3", "load", 1, others, 1000),
        Publisher::new("c", "keep", 1, kept, 50),
        Publisher::new("b", "keep", 2, kept, 50),
    ]
}

/// What kills have brought about so far.
#[derive(Default)]
struct Account {
    seen: BTreeMap<Phase, u64>,
    unseen: u64,
    under_load: Duration,
    offered: u64,
}

/// Kills the gateway so many times with so many messages a second.
fn kill_at(rate: u64, kills: usize, seed: u64) {
    println!("seed {seed}: {kills} kills at {rate} messages a second");
    let mut rng = Rng::new(seed);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut publishers = publishers(rate);
    let mut there = Received::default();
    let mut account = Account::default();
    {
        let gateway = Gateway::start(folder.path(), ROOM);
        gateway.subscribe("there", "load");
        gateway.subscribe("away", "keep");
        if !Observer::new(&gateway).can_see() {
            return skip("the kernel does not say what a thread is at (/proc/PID/syscall)");
        }
    }
    for round in 0..kills + MORE_KILLS {
        let missing = PHASES.into_iter().find(|phase| !account.seen.contains_key(phase));
        let phase = match missing {
            Some(missing) if round >= kills => missing,
            None if round >= kills => break,
            _ => PHASES[round % PHASES.len()],
        };
        let gateway = Gateway::start(folder.path(), ROOM);
        live(gateway, phase, (&mut publishers, &mut there), &mut rng, &mut account);
    }
    let (seconds, Account { seen, unseen, offered, .. }) = (account.under_load.as_secs_f64(), &account);
    let reached = publishers.iter().map(|publisher| publisher.acknowledged).sum::<u64>();
    assert!(PHASES.iter().all(|phase| seen.contains_key(phase)), "not every moment came: {seen:?}");
    check(folder.path(), publishers, there);
    println!(
        "killed at {seen:?}, {unseen} elsewhere; offered {:.0} messages/s, acknowledged {:.0}/s, {reached} together: \
         all there",
        *offered as f64 / seconds,
        reached as f64 / seconds
    );
}

/// One life of the gateway, which ends at that moment if it comes.
fn live(
    gateway: Gateway,
    phase: Phase,
    (publishers, there): (&mut [Publisher; 5], &mut Received),
    rng: &mut Rng,
    account: &mut Account,
) {
    let (stop, moment, offered) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    // Nobody is killed before everybody is there.
    let mut quick = gateway.connect("there");
    let sockets = publishers.each_ref().map(|publisher| gateway.connect(publisher.name));
    thread::scope(|scope| {
        scope.spawn(|| receive(&mut quick, there, |_| false));
        for (publisher, socket) in publishers.iter_mut().zip(sockets) {
            let behind = 20 + rng.below(publisher.rate / 4 + 1);
            let moment = Some((phase, &moment, behind));
            let orders = Orders { stop: &stop, moment, offered: &offered, drains: false };
            scope.spawn(move || publisher.work(socket, &orders));
        }
        let observer = Observer::new(&gateway);
        let start = Instant::now();
        let least = Duration::from_millis(200 + rng.below(300));
        let mut is_seen = false;
        while !is_seen && start.elapsed() < MOMENT_PATIENCE {
            thread::sleep(Duration::from_micros(20 + rng.below(100)));
            let is_time = start.elapsed() > least;
            is_seen = moment.load(Ordering::Relaxed) || is_time && observer.sees(phase);
        }
        gateway.signal(Signal::KILL);
        stop.store(true, Ordering::Relaxed);
        account.under_load += start.elapsed();
        match is_seen {
            true => *account.seen.entry(phase).or_default() += 1,
            false => account.unseen += 1,
        }
    });
    account.offered += offered.into_inner();
    gateway.buried();
}

/// Brings everything that is open to its end, and compares what came with what was acknowledged.
fn check(folder: &Path, mut publishers: [Publisher; 5], mut there: Received) {
    let gateway = Gateway::start(folder, ROOM);
    let (never, offered) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut away = Received::default();
    let mut sockets = ["there", "away"].map(|client| gateway.connect(client));
    thread::scope(|scope| {
        for publisher in &mut publishers {
            let socket = gateway.connect(publisher.name);
            let orders = Orders { stop: &never, moment: None, offered: &offered, drains: true };
            scope.spawn(move || publisher.work(socket, &orders));
        }
    });
    let last: BTreeMap<&str, u64> =
        publishers.iter().map(|publisher| (publisher.name, publisher.acknowledged)).collect();
    let has =
        |received: &Received, names: &[&str]| names.iter().all(|name| received.through(name) >= last[name]);
    let [socket_there, socket_away] = &mut sockets;
    assert!(receive(socket_there, &mut there, |received| has(received, &["h1", "h2", "h3"])), "QoS 1");
    assert!(receive(socket_away, &mut away, |received| has(received, &["c", "b"])), "for whoever was away");
    assert!(away.once["b"].iter().copied().eq(1..=last["b"]), "QoS 2: each once, and in order");
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_in_a_gateway_that_is_killed_at_every_moment() {
    kill_at(2_000, PHASES.len(), number("TIDEGATE_SEED", 1));
}

#[test]
#[ignore = "takes a minute: cargo test --release --test crash killed -- --ignored --nocapture"]
fn nothing_is_lost_in_a_gateway_that_is_killed_under_load() {
    let kills = usize::try_from(number("TIDEGATE_KILLS", 10)).unwrap();
    for (seed, rate) in [(1, 2_000), (2, 40_000)] {
        kill_at(rate, kills, number("TIDEGATE_SEED", seed));
    }
}
