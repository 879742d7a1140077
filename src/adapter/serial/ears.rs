//! Devices that speak by themselves, or answer a request of their own: every sensor of the port hears every byte.

use std::sync::Arc;

use super::Member;
use super::session::Doing;
use crate::clock::Clock;
use crate::device::{Listener, Order, PollAction, PollPlan, ProblemKind, SignOn};
use crate::time::Instant;

/// The ears of a port, one for each of its sensors.
pub(super) struct Ears {
    ears: Vec<Ear>,
    last_byte: Instant,
}

struct Ear {
    listener: Listener,
    polls: PollPlan,
    /// For meters that say first how fast they go on.
    sign_on: Option<SignOn>,
    heard: usize,
}

impl Ears {
    pub(super) fn new(members: &[Member], now: Instant) -> Ears {
        let ear = |member: &Member| {
            let profile = &member.sensor.profile;
            Ear {
                listener: Listener::new(Arc::clone(profile)),
                polls: PollPlan::new(&profile.polls, now),
                sign_on: profile.signs_on().then(SignOn::default),
                heard: 0,
            }
        };
        Ears { ears: members.iter().map(ear).collect(), last_byte: now }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        // While one device is to answer, no other one is asked.
        let is_busy = self.ears.iter().any(|ear| ear.polls.is_waiting());
        let due = |ear: &Ear| {
            let gap = ear.listener.gap().map(|gap| self.last_byte + gap);
            let poll = ear.polls.next_timeout().filter(|_| !is_busy || ear.polls.is_waiting());
            [gap, poll].into_iter().flatten().min()
        };
        self.ears.iter().filter_map(due).min()
    }

    /// Takes bytes that came.
    pub(super) fn take(&mut self, bytes: &[u8], members: &mut [Member], clock: &Clock) -> Doing {
        self.last_byte = clock.monotonic();
        let mut doing = Doing::default();
        for (ear, member) in self.ears.iter_mut().zip(members) {
            ear.heard += bytes.len();
            member.sink.counters().heard(bytes.len());
            doing.write.extend(ear.polls.selected(bytes, self.last_byte).unwrap_or_default());
            if ear.hear(member, clock, Some(bytes)) {
                doing.reset |= ear.sign_on.is_some();
            } else if let Some(sign_on) = &mut ear.sign_on {
                doing.go_on = sign_on.heard(bytes).or(doing.go_on);
            }
        }
        doing
    }

    /// Does what is due.
    pub(super) fn timeout(&mut self, members: &mut [Member], clock: &Clock, settings: &str) -> Doing {
        let now = clock.monotonic();
        let mut doing = Doing::default();
        let mut is_busy = self.ears.iter().any(|ear| ear.polls.is_waiting());
        for (ear, member) in self.ears.iter_mut().zip(members) {
            if ear.listener.gap().is_some_and(|gap| now >= self.last_byte + gap) {
                ear.hear(member, clock, None);
            }
            member.silent(now, clock, |member| ear.silence(member, settings));
            if is_busy && !ear.polls.is_waiting() {
                continue;
            }
            match ear.polls.timeout(now) {
                Some(PollAction::Send(request)) => {
                    is_busy = true;
                    doing.reset |= ear.sign_on.is_some();
                    doing.write.extend(request);
                    if let Some(sign_on) = &mut ear.sign_on {
                        sign_on.asked();
                    }
                }
                Some(PollAction::NoAnswer) => {
                    is_busy = false;
                    member.sink.counters().problem(ProblemKind::NoAnswer);
                    // Half an answer is none, and must not become the beginning of the next.
                    ear.hear(member, clock, None);
                    doing.reset |= ear.sign_on.is_some();
                }
                None => {}
            }
        }
        doing
    }

    /// The bytes that an order is.
    pub(super) fn command(&self, order: &Order) -> Result<Option<Vec<u8>>, String> {
        match order {
            Order::Bytes(bytes) => Ok(Some(bytes.clone())),
            Order::Write(_) => Err("only a Modbus line has registers".to_owned()),
        }
    }
}

impl Ear {
    /// Passes on what is found in `bytes`, or in what is left when the line is silent; whether a frame was whole.
    fn hear(&mut self, member: &mut Member, clock: &Clock, bytes: Option<&[u8]>) -> bool {
        let before = self.listener.frames();
        let mut found = |found| member.found(found, clock);
        match bytes {
            Some(bytes) => self.listener.push(bytes, &mut found),
            None => self.listener.silence(&mut found),
        }
        let is_whole = self.listener.frames() > before;
        if is_whole {
            self.polls.answered();
        }
        is_whole
    }

    /// Why nothing came, as far as one can tell.
    fn silence(&self, member: &Member, settings: &str) -> String {
        let profile = &member.sensor.profile.id;
        match (self.heard, self.listener.frames()) {
            (0, 0) => "sensor offline: nothing is heard from it; is it wired and powered?".to_owned(),
            (heard, 0) => format!(
                "sensor offline: {heard} bytes came, and no frame among them; is it a {profile} that speaks at {settings}?"
            ),
            _ => "sensor offline: silent for three of its longest intervals".to_owned(),
        }
    }
}
