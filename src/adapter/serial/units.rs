//! The units of a Modbus line: who is asked, what the answers say, and what became of commands.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Member;
use super::session::Doing;
use crate::clock::Clock;
use crate::device::{Listener, Master, MasterAction, Order, Outcome, ProblemKind, UnitPlan};
use crate::time::Instant;

/// The units of a line, in the order of its sensors.
pub(super) struct Units {
    master: Master,
    listeners: Vec<Listener>,
    /// Commands that were given to the master and have no outcome yet, in the order in which they are sent.
    commands: VecDeque<(usize, String)>,
}

impl Units {
    pub(super) fn new(members: &[Member], baud: u32, now: Instant) -> Units {
        let plan = |member: &Member| {
            let modbus = member.sensor.profile.modbus.as_ref();
            let unit = member.sensor.unit.or_else(|| modbus?.unit).unwrap_or(1);
            UnitPlan { unit, reads: modbus.map(|modbus| modbus.reads.clone()).unwrap_or_default() }
        };
        let plans: Vec<UnitPlan> = members.iter().map(plan).collect();
        let listeners =
            members.iter().map(|member| Listener::new(Arc::clone(&member.sensor.profile))).collect();
        Units { master: Master::new(&plans, baud, now), listeners, commands: VecDeque::new() }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.master.next_timeout()
    }

    /// Takes bytes that came: only the unit that was asked has anything to say.
    pub(super) fn take(&mut self, bytes: &[u8], members: &mut [Member], clock: &Clock) -> Doing {
        let now = clock.monotonic();
        self.master.heard(now, bytes.len());
        let asked = self.master.asked();
        let asked = asked.and_then(|at| Some((at, self.listeners.get_mut(at)?, members.get_mut(at)?)));
        let Some((at, listener, member)) = asked else { return Doing::default() };
        member.sink.counters().heard(bytes.len());
        let before = listener.frames();
        let mut refused = None;
        listener.push(bytes, &mut |found| {
            if let Err(problem) = &found
                && problem.kind == ProblemKind::Exception
            {
                refused = Some(problem.to_string());
            }
            member.found(found, clock);
        });
        let outcome = match (listener.frames() > before, &refused) {
            (true, _) => Outcome::Good,
            (false, Some(_)) => Outcome::Refused,
            (false, None) => return Doing::default(),
        };
        // What follows an answer belongs to nobody.
        listener.clear();
        if self.master.answered(now, outcome) {
            self.report(at, refused.as_deref(), members, clock);
        }
        Doing::default()
    }

    /// Does what is due.
    pub(super) fn timeout(&mut self, members: &mut [Member], clock: &Clock) -> Doing {
        let now = clock.monotonic();
        let mut doing = Doing::default();
        match self.master.timeout(now) {
            Some(MasterAction::Send { unit, request, .. }) => {
                if let Some(listener) = self.listeners.get_mut(unit) {
                    listener.clear();
                    doing.write = request.bytes();
                    listener.ask(request);
                }
            }
            Some(MasterAction::NoAnswer { unit, is_command }) => {
                if let (Some(listener), Some(member)) = (self.listeners.get_mut(unit), members.get_mut(unit))
                {
                    member.sink.counters().problem(ProblemKind::NoAnswer);
                    listener.clear();
                }
                if is_command {
                    self.report(unit, Some("the unit did not answer"), members, clock);
                }
            }
            None => {}
        }
        for member in members {
            member.silent(now, clock, |member| {
                let unit = member.sensor.unit.unwrap_or(1);
                format!("sensor offline: unit {unit} does not answer; it is asked ever more rarely")
            });
        }
        doing
    }

    /// Gives an order to the master.
    pub(super) fn command(&mut self, unit: usize, name: &str, order: &Order) -> Result<(), String> {
        let Order::Write(request) = order else {
            return Err("a Modbus unit takes nothing but writes".to_owned());
        };
        if !self.master.command(unit, request) {
            return Err("too many commands wait for this line".to_owned());
        }
        self.commands.push_back((unit, name.to_owned()));
        Ok(())
    }

    fn report(&mut self, unit: usize, error: Option<&str>, members: &mut [Member], clock: &Clock) {
        let name = self.commands.pop_front().map(|(_, name)| name);
        if let (Some(name), Some(member)) = (name, members.get_mut(unit)) {
            member.result(&name, error, clock);
        }
    }
}
