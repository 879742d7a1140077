//! Sensors behind serial ports: opened for as long as the gateway runs, whatever happens to the cable.
//!
//! One task serves one port with everything on it: one sensor, several that listen to the same bytes, or the units of
//! a Modbus line. A port that is gone, cannot be opened or falls silent is told once, in one line of the log and in
//! the availability of its sensors, and tried again for ever. The descriptor is dropped before the port is opened
//! again: otherwise the kernel would give the adapter another name.

mod address;
mod ears;
mod mbap;
mod open;
mod session;
mod telnet;
mod units;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as JsonValue;
use tokio::sync::mpsc;
use tokio::time::sleep;

pub use address::PortAddress;
pub use open::{Flow, LineOptions, reach};

use super::Sink;
use crate::clock::Clock;
use crate::device::{Measurements, Problem, Profile, SerialSettings};
use crate::reading::{Reading, SensorName};
use crate::route::{Presence, PresenceChange, SensorTopics};
use crate::time::Instant;

/// The first wait before a port is opened again; the next is twice as long...
const BACKOFF_SHORTEST: Duration = Duration::from_millis(100);
/// ...up to this: a cable that is plugged in again is noticed at once, as a person sees it.
const BACKOFF_LONGEST: Duration = Duration::from_secs(2);

/// A sensor and its port.
#[derive(Debug, Clone)]
pub struct SerialSensor {
    /// Its name.
    pub name: SensorName,
    /// Its port, best by a name that stays.
    pub port: PortAddress,
    /// How the port is opened.
    pub line: LineOptions,
    /// Its number on a Modbus line; that of the profile unless said.
    pub unit: Option<u8>,
    /// What it is, completed by its options.
    pub profile: Arc<Profile>,
    /// Where it is published.
    pub topics: SensorTopics,
}

/// What is to be set on a sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct SetCommand {
    /// Which.
    pub sensor: SensorName,
    /// Which of its profile's commands.
    pub name: String,
    /// To what.
    pub value: JsonValue,
}

/// Serves one sensor for ever; dropping the future closes the port.
pub async fn serve(sensor: SerialSensor, sink: Sink, clock: Clock) {
    let (_nobody, commands) = mpsc::channel(1);
    serve_line(vec![(sensor, sink)], commands, clock).await;
}

/// Serves sensors on one port for ever; dropping the future closes it. The port, its speed and its format are those of
/// the first.
pub async fn serve_line(
    sensors: Vec<(SerialSensor, Sink)>,
    commands: mpsc::Receiver<SetCommand>,
    clock: Clock,
) {
    let members: Vec<Member> = sensors.into_iter().map(|(sensor, sink)| Member::new(sensor, sink)).collect();
    let Some(first) = members.first() else { return };
    let (port, options) = (first.sensor.port.clone(), first.sensor.line);
    // A profile of a line says how it is set: `check` refuses others here.
    let Some(settings) = first.sensor.profile.serial else { return };
    let is_modbus = first.sensor.profile.modbus.is_some();
    let mut line = Line { port, settings, members, commands, clock };
    let mut backoff = BACKOFF_SHORTEST;
    let mut told = None;
    loop {
        match open::open(&line.port, settings, options, is_modbus).await {
            Ok(wire) => {
                tracing::info!(sensors = %line.names(), port = %line.port, serial = %line.settings(), "port opened");
                line.members.iter().for_each(|member| member.sink.counters().opened());
                let lost = line.session(wire).await;
                tracing::warn!(sensors = %line.names(), port = %line.port,
                    "{lost}; it is opened again as soon as it is back");
                // A session that heard something earns a quick return; one that broke at once does not.
                if lost.heard {
                    backoff = BACKOFF_SHORTEST;
                }
                told = None;
            }
            Err(problem) => {
                if told.as_ref() != Some(&problem) {
                    tracing::warn!(sensors = %line.names(), "{problem}");
                    told = Some(problem);
                }
            }
        }
        for member in &mut line.members {
            let lost = member.presence.lost();
            member.announce(lost, &line.clock);
            member.sink.flush();
        }
        line.refuse_commands();
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_LONGEST);
    }
}

/// One port with its sensors, open or not.
struct Line {
    port: PortAddress,
    settings: SerialSettings,
    members: Vec<Member>,
    commands: mpsc::Receiver<SetCommand>,
    clock: Clock,
}

impl Line {
    fn names(&self) -> String {
        let names: Vec<&str> = self.members.iter().map(|member| member.sensor.name.as_str()).collect();
        names.join(", ")
    }

    /// As a person writes it: `9600 8N1`.
    fn settings(&self) -> String {
        format!("{} {}", self.settings.baud, self.settings.format)
    }

    /// What came while there was no port cannot be done.
    fn refuse_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            let now = self.clock.now();
            if let Some(member) = self.members.iter_mut().find(|member| member.sensor.name == command.sensor)
            {
                let message =
                    member.sensor.topics.result_of(&command.name, Some("the port is not open"), now);
                member.sink.other(message);
                member.sink.flush();
            }
        }
    }
}

/// One sensor of a port.
struct Member {
    sensor: SerialSensor,
    sink: Sink,
    presence: Presence,
}

impl Member {
    fn new(sensor: SerialSensor, sink: Sink) -> Member {
        let polls = sensor.profile.polls.iter().map(|poll| poll.interval);
        let reads = sensor.profile.modbus.iter().flat_map(|modbus| &modbus.reads).map(|read| read.interval);
        let presence = Presence::new(polls.chain(reads).max());
        Member { sensor, sink, presence }
    }

    fn announce(&mut self, change: Option<PresenceChange>, clock: &Clock) {
        let Some(change) = change else { return };
        let online = change == PresenceChange::Online;
        if online {
            tracing::info!(sensor = %self.sensor.name, "sensor online");
        }
        self.sink.counters().online(online);
        self.sink.presence(self.sensor.topics.availability_of(online, clock.now()));
    }

    /// Passes on what was found in the sensor's bytes.
    fn found(&mut self, found: Result<Measurements, Problem>, clock: &Clock) {
        match found {
            Ok(measurements) => {
                let taken_at = clock.now();
                let sensor = self.sensor.name.clone();
                let reading = Reading { sensor, taken_at, rssi: None, measurements };
                self.sink.reading(self.sensor.topics.state_of(reading));
                let change = self.presence.heard(taken_at.monotonic);
                self.announce(change, clock);
            }
            Err(problem) => {
                tracing::debug!(sensor = %self.sensor.name, kind = problem.kind.label(), "{problem}");
                self.sink.counters().problem(problem.kind);
            }
        }
    }

    /// Says what became of a command.
    fn result(&mut self, name: &str, error: Option<&str>, clock: &Clock) {
        if let Some(error) = error {
            tracing::warn!(sensor = %self.sensor.name, "{name} was not set: {error}");
        }
        self.sink.other(self.sensor.topics.result_of(name, error, clock.now()));
    }

    /// Notices that the sensor is silent.
    fn silent(&mut self, now: Instant, clock: &Clock, why: impl FnOnce(&Member) -> String) {
        let gone = self.presence.timeout(now);
        if gone.is_some() {
            tracing::warn!(sensor = %self.sensor.name, "{}", why(self));
            self.announce(gone, clock);
        }
    }
}
