//! One connection: what is written first, what is read, what is listened to, and when it ends.

use tokio::time::{Instant, interval_at, sleep_until};

use super::link::{Central, Link, LinkError};
use super::turns::Turn;
use super::visitor::{ALIVE, Visitor};
use crate::adapter::ble::sensor::wait;
use crate::device::ble::Uuid;
use crate::device::{Listener, Measurements, Problem, ProblemKind};
use crate::reading::Measurement;

impl<C: Central> Visitor<C> {
    /// Everything that is done over a connection. Comes back when it is to be closed, or is gone.
    pub(super) async fn session<L: Link>(&mut self, link: &mut L, turn: &Turn) -> Result<(), LinkError> {
        let own = self.gatt.characteristics.iter().map(|one| one.uuid).chain(self.gatt.stream);
        if own.clone().all(|uuid| link.abilities(uuid).is_none()) {
            let id = &self.sensor.profile.id;
            return Err(LinkError::Refused(format!("it has no characteristic of the profile {id}")));
        }
        self.has_connected();
        self.alive();
        self.reader.begin();
        if let Some(stream) = &mut self.stream {
            stream.clear();
        }
        for (uuid, value) in self.gatt.begin.clone() {
            if link.abilities(uuid).is_some() {
                self.excuse(link.write(uuid, &value).await)?;
            }
        }
        self.read_all(link, &[]).await?;
        self.has_met = true;
        self.due = self.now() + self.gatt.interval;
        self.carry_out_all(link).await?;
        if !self.gatt.stay {
            return Ok(());
        }
        let listened = self.listen_all(link).await?;
        self.sink.flush();
        if listened.is_empty() {
            return Ok(());
        }
        self.stay(link, turn, &listened).await
    }

    /// Listens until somebody else waits for the radio for long, or the connection is gone.
    async fn stay<L: Link>(&mut self, link: &mut L, turn: &Turn, listened: &[Uuid]) -> Result<(), LinkError> {
        let mut over = std::pin::pin!(turn.is_over());
        let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
        let mut read_at = Instant::now() + self.gatt.interval;
        let mut restarts = self.restarts();
        loop {
            let patience = self.stream.as_ref().and_then(Listener::gap);
            tokio::select! {
                notified = link.next() => {
                    let (uuid, value) = notified?;
                    self.notified(uuid, &value);
                }
                Some(command) = self.commands.recv() => {
                    self.command(command);
                    self.carry_out_all(link).await?;
                }
                Ok(()) = restarts.changed() => {
                    return Err(LinkError::Lost("bluetoothd has begun anew".to_owned()));
                }
                Some(heard) = self.ear.recv() => self.hear(&heard),
                _ = alive.tick() => self.alive(),
                () = sleep_until(read_at) => {
                    read_at = Instant::now() + self.gatt.interval;
                    self.read_all(link, listened).await?;
                }
                () = wait(patience) => self.silence(),
                () = &mut over => {
                    // Behind the others, but not only when it would be due.
                    self.due = self.now();
                    return Ok(());
                }
            }
            self.sink.flush();
        }
    }

    /// Reads what can be read and is not listened to, as one reading.
    async fn read_all<L: Link>(&mut self, link: &mut L, listened: &[Uuid]) -> Result<(), LinkError> {
        let mut reading = Measurements::new();
        for characteristic in self.gatt.characteristics.clone() {
            let uuid = characteristic.uuid;
            let is_known = (characteristic.once && self.has_met) || listened.contains(&uuid);
            if is_known || !link.abilities(uuid).is_some_and(|can| can.read) {
                continue;
            }
            if let Some(value) = self.excuse(link.read(uuid).await)? {
                for one in self.decode(uuid, &value) {
                    if reading.iter().all(|known| known.name != one.name) {
                        reading.push(one);
                    }
                }
            }
        }
        if !reading.is_empty() {
            self.say(reading);
        }
        self.sink.flush();
        Ok(())
    }

    async fn listen_all<L: Link>(&mut self, link: &mut L) -> Result<Vec<Uuid>, LinkError> {
        let wanted = self.gatt.characteristics.iter().filter(|one| one.listen).map(|one| one.uuid);
        let wanted: Vec<Uuid> = wanted.chain(self.gatt.stream).collect();
        let mut listened = Vec::new();
        for uuid in wanted {
            if link.abilities(uuid).is_some_and(|can| can.notify)
                && self.excuse(link.listen(uuid).await)?.is_some()
            {
                listened.push(uuid);
            }
        }
        Ok(listened)
    }

    /// A refusal costs one characteristic, not the connection.
    fn excuse<T>(&mut self, outcome: Result<T, LinkError>) -> Result<Option<T>, LinkError> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(LinkError::Refused(why)) => {
                self.complain(&Problem::new(ProblemKind::Exception, why));
                Ok(None)
            }
            Err(lost) => Err(lost),
        }
    }

    fn notified(&mut self, uuid: Uuid, value: &[u8]) {
        if self.gatt.stream != Some(uuid) {
            let measurements = self.decode(uuid, value);
            if !measurements.is_empty() {
                self.say(measurements.into_iter().collect());
            }
            return;
        }
        self.sink.counters().heard(value.len());
        let mut found = Vec::new();
        if let Some(stream) = &mut self.stream {
            stream.push(value, &mut |one| found.push(one));
        }
        self.take(found);
    }

    /// A stream fell silent within a frame.
    fn silence(&mut self) {
        let mut found = Vec::new();
        if let Some(stream) = &mut self.stream {
            stream.silence(&mut |one| found.push(one));
        }
        self.take(found);
    }

    fn take(&mut self, found: Vec<Result<Measurements, Problem>>) {
        for one in found {
            match one {
                Ok(measurements) => self.say(measurements),
                Err(problem) => self.complain(&problem),
            }
        }
    }

    fn decode(&mut self, uuid: Uuid, value: &[u8]) -> Vec<Measurement> {
        self.sink.counters().heard(value.len());
        let (mut measurements, mut problems) = (Vec::new(), Vec::new());
        self.reader.read(uuid, value, &mut |found| match found {
            Ok(found) => measurements.extend(found),
            Err(problem) => problems.push(problem),
        });
        problems.iter().for_each(|problem| self.complain(problem));
        measurements
    }

    fn complain(&mut self, problem: &Problem) {
        tracing::debug!(sensor = %self.sensor.name, kind = problem.kind.label(), "{problem}");
        self.sink.counters().problem(problem.kind);
    }

    async fn carry_out_all<L: Link>(&mut self, link: &mut L) -> Result<(), LinkError> {
        while let Some((command, _)) = self.waiting.pop_front() {
            let profile = &self.sensor.profile;
            let order = match profile.command(&command.name) {
                Some(known) => known.value(&command.value),
                None => Err(format!("a {} has no such command", profile.id)),
            };
            let outcome = match order {
                Ok((uuid, value)) => link.write(uuid, &value).await,
                Err(why) => {
                    self.result(&command.name, Some(&why));
                    continue;
                }
            };
            match outcome {
                Ok(()) => self.result(&command.name, None),
                Err(error) => {
                    self.result(&command.name, Some(&error.to_string()));
                    if let LinkError::Lost(_) = error {
                        return Err(error);
                    }
                }
            }
        }
        self.sink.flush();
        Ok(())
    }
}
