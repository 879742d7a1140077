//! A Modbus line with twenty units on it, some of them bad, in simulated time: the others keep their interval.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use tidegate::device::{
    Listener, Master, MasterAction, Outcome, ProblemKind, Profile, Request, UnitPlan, modbus_crc,
};
use tidegate::reading::Value;
use tidegate::time::Instant;

const BAUD: u64 = 19_200;
const INTERVAL: Duration = Duration::from_secs(2);
const TURNAROUND: Duration = Duration::from_millis(8);

const PROFILE: &str = r#"
    [device]
    model = "bench meter"
    about = "a unit of the simulated line"
    [serial]
    baud = 19200
    [modbus]
    function = 4
    interval_ms = 2000
    timeout_ms = 300
    [[field]]
    name = "unit"
    register = 0
    type = "u16be"
    [[field]]
    name = "count"
    register = 1
    type = "u32be"
"#;

/// How a unit behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Good,
    Dead,
    /// Answers with noise, and makes some when nobody asked.
    Babbling,
    /// Answers when nobody waits any more.
    Late,
}

/// Bytes on their way along the line.
struct Transmission {
    from: Instant,
    to: Instant,
    bytes: Vec<u8>,
}

fn airtime(bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * 11 * 1_000_000 / BAUD)
}

/// The line: what overlaps on it is destroyed.
struct Line {
    manners: Vec<Manner>,
    counts: Vec<u32>,
    travelling: Vec<Transmission>,
    random: u64,
}

impl Line {
    fn random(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn send(&mut self, from: Instant, mut bytes: Vec<u8>) {
        let to = from + airtime(bytes.len());
        for other in &mut self.travelling {
            if other.from < to && from < other.to {
                bytes.iter_mut().for_each(|byte| *byte ^= 0x5A);
                other.bytes.iter_mut().for_each(|byte| *byte ^= 0xA5);
            }
        }
        self.travelling.push(Transmission { from, to, bytes });
    }

    fn noise(&mut self, from: Instant) {
        let count = 5 + self.random(40);
        let bytes = (0..count).map(|_| self.random(256) as u8).collect();
        self.send(from, bytes);
    }

    /// A request has left the master.
    fn asked(&mut self, now: Instant, request: &Request) {
        let written = request.bytes();
        let end = now + airtime(written.len());
        let place = usize::from(request.unit()) - 1;
        match self.manners[place] {
            Manner::Dead => {}
            Manner::Babbling => self.noise(end + TURNAROUND),
            Manner::Good => {
                let answer = self.answer(place);
                self.send(end + TURNAROUND, answer);
            }
            Manner::Late => {
                let answer = self.answer(place);
                self.send(end + Duration::from_millis(700), answer);
            }
        }
    }

    fn answer(&mut self, place: usize) -> Vec<u8> {
        self.counts[place] += 1;
        let mut bytes = vec![place as u8 + 1, 4, 6, 0, place as u8 + 1];
        bytes.extend(self.counts[place].to_be_bytes());
        bytes.extend(modbus_crc(&bytes));
        bytes
    }

    fn arrival(&self) -> Option<(usize, Instant)> {
        self.travelling.iter().enumerate().map(|(at, one)| (at, one.to)).min_by_key(|(_, to)| *to)
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Number(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

/// Runs a line for so long; the times of each unit's readings, and the problems by kind.
fn run(manners: &[Manner], seconds: u64, seed: u64) -> (Vec<Vec<Instant>>, Vec<ProblemKind>) {
    let profile = Arc::new(Profile::parse("bench", "bench.toml", PROFILE).unwrap());
    let reads = profile.modbus.as_ref().unwrap().reads.clone();
    assert_eq!(reads.len(), 1, "neighbours are read in one request");
    let plans: Vec<UnitPlan> =
        (1..=manners.len()).map(|unit| UnitPlan { unit: unit as u8, reads: reads.clone() }).collect();
    let mut now = Instant::from_millis(1000);
    let end = now + Duration::from_secs(seconds);
    let mut master = Master::new(&plans, BAUD as u32, now);
    let mut listeners: Vec<Listener> = plans.iter().map(|_| Listener::new(Arc::clone(&profile))).collect();
    let mut line = Line {
        manners: manners.to_vec(),
        counts: vec![0; manners.len()],
        travelling: Vec::new(),
        random: seed,
    };
    let mut readings = vec![Vec::new(); manners.len()];
    let mut problems = Vec::new();
    let mut next_noise = now + Duration::from_millis(700);
    while now < end {
        let arrival = line.arrival();
        let timeout = master.next_timeout().unwrap();
        let arrives_at = arrival.map_or(end, |(_, to)| to);
        now = now.max(timeout.min(arrives_at).min(next_noise));
        if now >= next_noise {
            next_noise = now + Duration::from_millis(900 + line.random(400));
            if manners.contains(&Manner::Babbling) {
                line.noise(now);
            }
            continue;
        }
        if let Some((at, to)) = arrival
            && to <= now
        {
            let bytes = line.travelling.swap_remove(at).bytes;
            master.heard(now, bytes.len());
            let Some(unit) = master.asked() else { continue };
            let before = listeners[unit].frames();
            listeners[unit].push(&bytes, &mut |found| match found {
                Ok(measurements) => {
                    assert_eq!(
                        number(&measurements[0].value) as usize,
                        unit + 1,
                        "an answer of another unit"
                    );
                    readings[unit].push(now);
                }
                Err(problem) => problems.push(problem.kind),
            });
            if listeners[unit].frames() > before {
                listeners[unit].clear();
                master.answered(now, Outcome::Good);
            }
            continue;
        }
        match master.timeout(now) {
            Some(MasterAction::Send { unit, request, .. }) => {
                listeners[unit].clear();
                listeners[unit].ask(request.clone());
                line.asked(now, &request);
            }
            Some(MasterAction::NoAnswer { unit, .. }) => {
                listeners[unit].clear();
                problems.push(ProblemKind::NoAnswer);
            }
            None if timeout <= now => now = now + Duration::from_micros(500),
            None => {}
        }
    }
    (readings, problems)
}

/// The longest silences of a unit, without the time in which the bad ones are found out.
fn longest_gap(readings: &[Instant]) -> Duration {
    let settled = Instant::from_millis(1000) + Duration::from_secs(15);
    let times: Vec<Instant> = readings.iter().copied().filter(|time| *time > settled).collect();
    times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap()
}

#[test]
fn sixteen_units_keep_their_interval_beside_two_dead_one_babbling_and_one_late() {
    let mut manners = vec![Manner::Good; 20];
    (manners[3], manners[11]) = (Manner::Dead, Manner::Dead);
    (manners[7], manners[15]) = (Manner::Babbling, Manner::Late);
    let mut worst = Duration::ZERO;
    for seed in 1..=20 {
        let (readings, _) = run(&manners, 120, seed);
        for (place, times) in readings.iter().enumerate() {
            match manners[place] {
                Manner::Good => {
                    // 60 beats in two minutes; noise may cost one answer, which is asked for again at once.
                    let wanted = 120 / INTERVAL.as_secs() as usize - 2;
                    assert!(
                        times.len() >= wanted,
                        "seed {seed}: unit {} gave {} readings",
                        place + 1,
                        times.len()
                    );
                    let gap = longest_gap(times);
                    worst = worst.max(gap);
                    assert!(gap < INTERVAL * 3 / 2, "seed {seed}: unit {} was silent for {gap:?}", place + 1);
                }
                // A late answer that meets the same question asked again is a true one.
                Manner::Late => {}
                _ => assert!(times.is_empty(), "seed {seed}: unit {} has nothing to say", place + 1),
            }
        }
    }
    println!("sixteen units, asked every {INTERVAL:?}: the longest silence of any was {worst:?}");
}

#[test]
fn a_line_of_good_units_is_asked_on_the_beat() {
    let (readings, problems) = run(&[Manner::Good; 20], 60, 1);
    assert!(problems.is_empty(), "{problems:?}");
    for times in &readings {
        assert_eq!(times.len(), 30);
        assert!(longest_gap(times) < INTERVAL + Duration::from_millis(5));
    }
}

#[test]
fn a_dead_unit_is_asked_ever_more_rarely() {
    let (_, problems) = run(&[Manner::Good, Manner::Dead], 600, 1);
    let missed = problems.iter().filter(|kind| **kind == ProblemKind::NoAnswer).count();
    assert!((8..=20).contains(&missed), "{missed} requests in ten minutes");
}
