//! A publisher over all lives of the gateway: bytes made in large pieces, a schedule that does not wait for answers
//! until the window is full, so that what is offered is really offered.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::phase::Phase;

const PAYLOAD_BYTES: usize = 64;
/// So many messages are made before they are written.
const AT_ONCE: u64 = 256;

/// Its messages are numbered from 1.
pub(super) struct Publisher {
    pub(super) name: &'static str,
    qos: u8,
    /// Messages a second.
    pub(super) rate: u64,
    /// How many it lets wait for their answers.
    window: u64,
    topic: String,
    next: u64,
    /// Everything up to this is acknowledged for good.
    pub(super) acknowledged: u64,
    /// At QoS 2: released and not yet completed, or published and not yet received, by identifier.
    open: BTreeMap<u64, bool>,
}

/// How a publisher goes on.
pub(super) struct Orders<'a> {
    /// Ends the work: the gateway is killed.
    pub(super) stop: &'a AtomicBool,
    /// Where to say that the moment of the kill has come, and behind which answer.
    pub(super) moment: Option<(Phase, &'a AtomicBool, u64)>,
    /// What the schedule asked for while it worked.
    pub(super) offered: &'a AtomicU64,
    /// Only what is open is brought to its end.
    pub(super) drains: bool,
}

impl Publisher {
    pub(super) fn new(name: &'static str, topic: &str, qos: u8, rate: u64, window: u64) -> Publisher {
        let topic = format!("{topic}/{name}");
        Publisher { name, qos, rate, window, topic, next: 1, acknowledged: 0, open: BTreeMap::new() }
    }

    fn identifier(number: u64) -> [u8; 2] {
        ((number % 60_000 + 1) as u16).to_be_bytes()
    }

    fn publish(&self, number: u64, dup: bool, out: &mut Vec<u8>) {
        let length = 2 + self.topic.len() + 2 + PAYLOAD_BYTES;
        out.extend([0x30 | self.qos << 1 | if dup { 8 } else { 0 }, length as u8]);
        out.extend([0, self.topic.len() as u8]);
        out.extend(self.topic.as_bytes());
        out.extend(Publisher::identifier(number));
        out.extend(number.to_be_bytes());
        out.extend([b'x'; PAYLOAD_BYTES - 8]);
    }

    fn release(number: u64, out: &mut Vec<u8>) {
        out.extend([0x62, 2]);
        out.extend(Publisher::identifier(number));
    }

    /// What was open before, in its order.
    fn again(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.qos == 1 {
            (self.acknowledged + 1..self.next).for_each(|number| self.publish(number, true, &mut out));
        }
        for (number, released) in &self.open {
            if *released {
                Publisher::release(*number, &mut out);
            } else {
                self.publish(*number, true, &mut out);
            }
        }
        out
    }

    /// Publishes until told to stop or until the connection breaks.
    pub(super) fn work(&mut self, mut socket: TcpStream, orders: &Orders<'_>) {
        let mut out = self.again();
        let (start, first) = (Instant::now(), self.next);
        let (mut bytes, mut held, mut answers) = ([0; 1 << 14], 0, 0);
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        loop {
            let due = first + self.scheduled(start);
            if !orders.drains {
                self.offer(due, &mut out);
            }
            let is_broken = socket.write_all(&out).is_err();
            if is_broken || orders.stop.load(Relaxed) {
                orders.offered.fetch_add(self.scheduled(start), Relaxed);
                return;
            }
            out.clear();
            if orders.drains && self.next == self.acknowledged + 1 {
                return;
            }
            assert!(start.elapsed() < PATIENCE * 5, "{}: {} of {}", self.name, self.acknowledged, self.next);
            match socket.read(&mut bytes[held..]) {
                Ok(length) if length > 0 => held += length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                _ => {
                    orders.offered.fetch_add(self.scheduled(start), Relaxed);
                    return;
                }
            }
            let whole = held / 4 * 4;
            for answer in bytes[..whole].chunks_exact(4) {
                answers += 1;
                let is_moment = |phase: Phase| {
                    orders.moment.is_some_and(|(wanted, _, behind)| wanted == phase && answers >= behind)
                };
                if self.answered(answer, &mut out, is_moment) {
                    let _ = socket.write_all(&out);
                    orders.moment.into_iter().for_each(|(_, moment, _)| moment.store(true, Relaxed));
                    orders.offered.fetch_add(self.scheduled(start), Relaxed);
                    return wait_for(orders.stop);
                }
            }
            bytes.copy_within(whole..held, 0);
            held -= whole;
        }
    }

    /// How many its schedule has asked for.
    fn scheduled(&self, start: Instant) -> u64 {
        (start.elapsed().as_secs_f64() * self.rate as f64) as u64
    }

    /// Makes what is due, as far as the window goes.
    fn offer(&mut self, due: u64, out: &mut Vec<u8>) {
        let last = due.min(self.acknowledged + 1 + self.window).min(self.next + AT_ONCE);
        while self.next < last {
            self.publish(self.next, false, out);
            if self.qos == 2 {
                self.open.insert(self.next, false);
            }
            self.next += 1;
        }
    }

    /// Takes an answer; whether an exchange of QoS 2 is to be left as it is then.
    fn answered(&mut self, answer: &[u8], out: &mut Vec<u8>, is_moment: impl Fn(Phase) -> bool) -> bool {
        match answer[0] >> 4 {
            4 => self.acknowledged += 1,
            5 => {
                let mut open = self.open.keys().copied();
                let number = open.find(|number| Publisher::identifier(*number) == answer[2..4]);
                let number = number.expect("an identifier that is open");
                self.open.insert(number, true);
                if is_moment(Phase::PubRec) {
                    return true;
                }
                Publisher::release(number, out);
                return is_moment(Phase::PubRel);
            }
            7 => {
                let first = *self.open.keys().next().expect("something is open");
                self.open.remove(&first);
                self.acknowledged += 1;
            }
            other => panic!("packet {other} to a publisher"),
        }
        false
    }
}

/// The connection stays open until the gateway is dead.
fn wait_for(stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        thread::yield_now();
    }
}
