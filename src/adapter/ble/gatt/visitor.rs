//! One sensor's task: waits until the device is due and near, and sees to everything else meanwhile.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::link::{Central, Link as _, Unconnected};
use super::{Connections, GattSensor};
use crate::adapter::Sink;
use crate::adapter::ble::antenna::Heard;
use crate::adapter::ble::sensor::wait;
use crate::adapter::serial::SetCommand;
use crate::clock::Clock;
use crate::device::{Gatt, GattReader, Listener, Measurements};
use crate::reading::Reading;
use crate::route::{Presence, PresenceChange};
use crate::time::Instant;

/// A device that was not heard for so long is not near: nobody connects to it.
const NEAR: Duration = Duration::from_secs(60);
/// How often it is looked for among the devices that are connected already, while it is not heard.
const LOOK: Duration = Duration::from_secs(30);
/// How often a kept connection is a sign of life.
pub(super) const ALIVE: Duration = Duration::from_secs(20);
/// A command is given up when the device cannot be reached for so long.
const COMMAND: Duration = Duration::from_secs(60);
/// The first pause after a device failed; the next is twice as long...
const BACKOFF_SHORTEST: Duration = Duration::from_secs(2);
/// ...up to this: the scan pauses for each attempt.
const BACKOFF_LONGEST: Duration = Duration::from_secs(300);
/// After a radio failed.
const RADIO_AGAIN: Duration = Duration::from_secs(5);
/// How soon a full inbox is tried again.
const FLUSH_AGAIN: Duration = Duration::from_millis(200);
/// Commands that wait for a connection.
const COMMANDS_WAITING: usize = 16;

/// Serves one sensor for ever; dropping the future ends its connection.
pub async fn serve<C: Central>(
    sensor: GattSensor,
    connections: Arc<Connections<C>>,
    commands: mpsc::Receiver<SetCommand>,
    sink: Sink,
    clock: Clock,
) {
    let Some(gatt) = sensor.profile.gatt.clone() else { return };
    let mut visitor = Visitor::new(sensor, gatt, connections, commands, sink, clock);
    while !visitor.is_replaced {
        if visitor.is_due() {
            let outcome = visitor.visit().await;
            visitor.judge(outcome);
        } else {
            visitor.step().await;
        }
        visitor.sink.flush();
    }
}

pub(super) struct Visitor<C> {
    pub(super) sensor: GattSensor,
    pub(super) gatt: Gatt,
    connections: Arc<Connections<C>>,
    pub(super) commands: mpsc::Receiver<SetCommand>,
    pub(super) sink: Sink,
    pub(super) clock: Clock,
    pub(super) presence: Presence,
    pub(super) reader: GattReader,
    /// Reads a stream of bytes.
    pub(super) stream: Option<Listener>,
    pub(super) ear: mpsc::Receiver<Arc<Heard>>,
    /// Somebody else listens to this address now.
    is_replaced: bool,
    /// Signal strength by radio.
    signals: SmallVec<[(Arc<str>, i16, Instant); 2]>,
    pub(super) waiting: VecDeque<(SetCommand, Instant)>,
    /// When it is due...
    pub(super) due: Instant,
    /// ...but not before, since it failed.
    not_before: Instant,
    failures: u32,
    look_at: Instant,
    told: Option<String>,
    /// What never changes has been read.
    pub(super) has_met: bool,
    /// When this began, by both clocks.
    started_at: (Instant, tokio::time::Instant),
}

impl<C: Central> Visitor<C> {
    fn new(
        sensor: GattSensor,
        gatt: Gatt,
        connections: Arc<Connections<C>>,
        commands: mpsc::Receiver<SetCommand>,
        sink: Sink,
        clock: Clock,
    ) -> Visitor<C> {
        let (now, started_at) = (clock.monotonic(), tokio::time::Instant::now());
        let mut presence = Presence::new(Some(if gatt.stay { ALIVE } else { gatt.interval }));
        presence.listening(now);
        Visitor {
            ear: connections.antenna.tune(sensor.address),
            reader: GattReader::new(Arc::clone(&sensor.profile)),
            stream: gatt.stream.is_some().then(|| Listener::new(Arc::clone(&sensor.profile))),
            sensor,
            gatt,
            connections,
            commands,
            sink,
            clock,
            presence,
            is_replaced: false,
            signals: SmallVec::new(),
            waiting: VecDeque::new(),
            due: now,
            not_before: now,
            failures: 0,
            look_at: now + LOOK,
            told: None,
            has_met: false,
            started_at: (now, started_at),
        }
    }

    /// The time by the clock by which this waits.
    pub(super) fn now(&self) -> Instant {
        let (instant, began) = self.started_at;
        instant + began.elapsed()
    }

    fn is_due(&self) -> bool {
        let now = self.now();
        now >= self.next_visit() && self.best_radio(now).is_some()
    }

    /// When the next visit may be.
    fn next_visit(&self) -> Instant {
        if self.waiting.is_empty() { self.due.max(self.not_before) } else { self.not_before }
    }

    /// The radio that hears the device best, of those that heard it lately.
    fn best_radio(&self, now: Instant) -> Option<Arc<str>> {
        let near = self.signals.iter().filter(|(_, _, at)| now.since(*at) < NEAR);
        near.max_by_key(|(_, rssi, _)| *rssi).map(|(radio, _, _)| Arc::clone(radio))
    }

    /// Waits for one thing to happen, and does what it asks for. May be given up.
    async fn step(&mut self) {
        let now = self.now();
        let visit = Some(self.next_visit()).filter(|at| *at > now && self.best_radio(now).is_some());
        let flush = self.sink.is_waiting().then(|| now + FLUSH_AGAIN);
        let command = self.waiting.front().map(|(_, until)| *until);
        let presence = self.presence.next_timeout();
        let next = [visit, flush, command, presence, Some(self.look_at)].into_iter().flatten().min();
        tokio::select! {
            heard = self.ear.recv() => match heard {
                Some(heard) => self.hear(&heard),
                None => self.is_replaced = true,
            },
            Some(command) = self.commands.recv() => self.command(command),
            () = wait(next.map(|next| next.since(now))) => self.timeout().await,
        }
        self.sink.flush();
    }

    /// Sees to everything else while something is waited for.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                outcome = &mut future => return outcome,
                () = self.step() => {}
            }
            if self.is_replaced {
                // Whatever is waited for ends soon, and so does this sensor.
                return future.await;
            }
        }
    }

    /// Tells when bluetoothd has begun anew.
    pub(super) fn restarts(&self) -> tokio::sync::watch::Receiver<u64> {
        self.connections.antenna.restarts()
    }

    pub(super) fn hear(&mut self, heard: &Heard) {
        let now = self.now();
        self.signals.retain(|(radio, _, at)| *radio != heard.radio && now.since(*at) < NEAR);
        let rssi = heard.fresh.rssi.unwrap_or(i16::MIN);
        self.signals.push((Arc::clone(&heard.radio), rssi, now));
    }

    pub(super) fn command(&mut self, command: SetCommand) {
        if self.waiting.len() >= COMMANDS_WAITING {
            return self.result(&command.name, Some("too many commands wait for the device"));
        }
        self.waiting.push_back((command, self.now() + COMMAND));
    }

    /// Says what became of a command.
    pub(super) fn result(&mut self, name: &str, error: Option<&str>) {
        if let Some(error) = error {
            tracing::warn!(sensor = %self.sensor.name, "{name} was not set: {error}");
        }
        self.sink.other(self.sensor.topics.result_of(name, error, self.clock.now()));
    }

    async fn timeout(&mut self) {
        let now = self.now();
        while let Some((command, _)) = self.waiting.pop_front_if(|(_, until)| *until <= now) {
            let why = self.told.clone().unwrap_or_else(|| "the device is not heard".to_owned());
            self.result(&command.name, Some(&format!("not within {} s: {why}", COMMAND.as_secs())));
        }
        let gone = self.presence.timeout(now);
        if gone.is_some() {
            tracing::warn!(sensor = %self.sensor.name, address = %self.sensor.address, "sensor offline");
        }
        self.announce(gone);
        if now >= self.look_at {
            self.look_at = now + LOOK;
            if self.best_radio(now).is_none()
                && let Some(radio) = self.connections.central.connected_on(self.sensor.address).await
            {
                self.signals.push((radio.into(), i16::MIN, now));
            }
        }
    }

    /// Connects, reads, and stays where that is wanted.
    async fn visit(&mut self) -> Result<(), Unconnected> {
        let Some(radio) = self.best_radio(self.now()) else { return Ok(()) };
        let connections = Arc::clone(&self.connections);
        let turn = self.meanwhile(connections.turns.take(&radio)).await;
        let pause = connections.antenna.pause(Arc::clone(&radio));
        let paused = self.meanwhile(pause).await;
        let outcome = self.meanwhile(connections.central.connect(self.sensor.address, &radio)).await;
        drop(paused);
        let mut link = outcome?;
        let _standing = connections.antenna.stand(radio);
        self.sink.counters().opened();
        let outcome = self.session(&mut link, &turn).await;
        link.close().await;
        outcome.map_err(|error| Unconnected::Device(error.to_string()))
    }

    fn judge(&mut self, outcome: Result<(), Unconnected>) {
        let now = self.now();
        let Err(why) = outcome else {
            self.failures = 0;
            return self.trouble(None);
        };
        let pause = match &why {
            Unconnected::Radio(_) => RADIO_AGAIN,
            Unconnected::Device(_) => {
                let doubled = BACKOFF_SHORTEST * 2_u32.saturating_pow(self.failures.min(16));
                self.failures = self.failures.saturating_add(1);
                doubled.min(BACKOFF_LONGEST)
            }
        };
        self.not_before = now + pause;
        self.due = now;
        self.trouble(Some(why.to_string()));
    }

    /// The connection stands: what failed before is over.
    pub(super) fn has_connected(&mut self) {
        self.failures = 0;
        self.trouble(None);
    }

    fn trouble(&mut self, trouble: Option<String>) {
        if trouble != self.told {
            match &trouble {
                Some(why) => tracing::warn!(sensor = %self.sensor.name, "not read over a connection: {why}"),
                None => tracing::info!(sensor = %self.sensor.name, "read over a connection again"),
            }
            self.sink.counters().trouble(trouble.clone());
            self.told = trouble;
        }
    }

    pub(super) fn alive(&mut self) {
        let change = self.presence.heard(self.now());
        if change.is_some() {
            tracing::info!(sensor = %self.sensor.name, "sensor online");
        }
        self.announce(change);
    }

    fn announce(&mut self, change: Option<PresenceChange>) {
        let Some(change) = change else { return };
        let online = change == PresenceChange::Online;
        self.sink.counters().online(online);
        self.sink.presence(self.sensor.topics.availability_of(online, self.clock.now()));
    }

    /// Passes on what was read.
    pub(super) fn say(&mut self, measurements: Measurements) {
        let taken_at = self.clock.now();
        let now = self.now();
        let near = self.signals.iter().filter(|(_, _, at)| now.since(*at) < NEAR);
        let rssi = near.map(|(_, rssi, _)| *rssi).filter(|rssi| *rssi > i16::MIN).max();
        let reading = Reading { sensor: self.sensor.name.clone(), taken_at, rssi, measurements };
        self.sink.reading(self.sensor.topics.state_of(reading));
    }
}
