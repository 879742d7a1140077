//! One sensor in the air: from what its radio hears to its readings and its availability.
//!
//! What is said again is published again only now and then; what happened (a button) is published once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::sleep;

use super::antenna::{Antenna, Heard};
use crate::adapter::Sink;
use crate::clock::Clock;
use crate::device::ble::{self, Address, Key, Memory, Sighting};
use crate::device::{Measurements, Problem, ProblemKind};
use crate::reading::{Reading, SensorName};
use crate::route::{Presence, PresenceChange, SensorTopics};
use crate::time::Instant;

/// Advertisements get lost: no sensor is given up sooner, however often it speaks.
const SHORTEST_ABSENCE: Duration = Duration::from_secs(60);
/// A reading that does not change is published again after this.
const REPEAT: Duration = Duration::from_secs(60);
/// The same words after so long a pause are said anew: another press of the button.
const PAUSE: Duration = Duration::from_secs(5);
/// The same number after so long a pause is another event, if others were between: the device has counted around.
const COUNTED_AROUND: Duration = Duration::from_secs(60);
/// Events that are remembered: repetitions come mixed with other frames, and from other radios late.
const EVENTS: usize = 8;
/// How long another radio's signal strength counts.
const SIGNAL: Duration = Duration::from_secs(10);
/// How soon a full inbox is tried again.
const FLUSH_AGAIN: Duration = Duration::from_millis(200);

/// A sensor and its address.
#[derive(Debug, Clone)]
pub struct BleSensor {
    /// Its name.
    pub name: SensorName,
    /// Its address.
    pub address: Address,
    /// What its advertisements are encrypted with.
    pub key: Option<Key>,
    /// Where it is published.
    pub topics: SensorTopics,
}

/// Serves one sensor for ever; dropping the future stops listening to it.
pub async fn serve(sensor: BleSensor, antenna: Arc<Antenna>, sink: Sink, clock: Clock) {
    let mut ear = antenna.tune(sensor.address);
    let mut listening = Listening::new(sensor, sink, clock);
    loop {
        let patience = listening.next_timeout();
        tokio::select! {
            heard = ear.recv() => match heard {
                Some(heard) => listening.hear(&heard),
                // Somebody else listens to this address now.
                None => return,
            },
            () = wait(patience) => listening.timeout(),
        }
        listening.sink.flush();
    }
}

pub(super) async fn wait(patience: Option<Duration>) {
    match patience {
        Some(patience) => sleep(patience).await,
        None => std::future::pending().await,
    }
}

/// What was published last of what is so.
struct Said {
    measurements: Measurements,
    packet: Option<u32>,
    published_at: Instant,
}

/// Something that happened, and was published.
struct Happened {
    measurements: Measurements,
    packet: Option<u32>,
    heard_at: Instant,
}

/// One sensor, listened to.
pub(super) struct Listening {
    sensor: BleSensor,
    pub(super) sink: Sink,
    clock: Clock,
    presence: Presence,
    memory: Memory,
    said: Option<Said>,
    /// The latest last.
    happened: VecDeque<Happened>,
    heard_at: Option<Instant>,
    /// Signal strength by radio.
    signals: SmallVec<[(Arc<str>, i16, Instant); 2]>,
    /// What was wrong last, told once.
    told: Option<ProblemKind>,
}

impl Listening {
    pub(super) fn new(sensor: BleSensor, sink: Sink, clock: Clock) -> Listening {
        let mut presence = Presence::at_least(SHORTEST_ABSENCE);
        presence.listening(clock.monotonic());
        Listening {
            sensor,
            sink,
            clock,
            presence,
            memory: Memory::default(),
            said: None,
            happened: VecDeque::new(),
            heard_at: None,
            signals: SmallVec::new(),
            told: None,
        }
    }

    pub(super) fn name(&self) -> &SensorName {
        &self.sensor.name
    }

    /// When it was understood last.
    pub(super) fn heard_at(&self) -> Option<Instant> {
        self.heard_at
    }

    /// Takes back what was said of its presence.
    pub(super) fn forget(&mut self) {
        self.sink.presence(self.sensor.topics.availability_forgotten(self.clock.now()));
        self.sink.flush();
    }

    /// Takes an advertisement of this sensor.
    pub(super) fn hear(&mut self, heard: &Heard) {
        let now = self.clock.monotonic();
        let bytes = heard.fresh.manufacturer_data.iter().map(|(_, data)| data.len()).sum::<usize>()
            + heard.fresh.service_data.iter().map(|(_, data)| data.len()).sum::<usize>();
        self.sink.counters().heard(bytes);
        self.signal(heard, now);
        match self.decode(heard) {
            Ok(sighting) => {
                for problem in &sighting.problems {
                    self.sink.counters().problem(problem.kind);
                }
                if self.told.take().is_some() {
                    self.sink.counters().trouble(None);
                }
                self.heard_at = Some(now);
                let change = self.presence.heard(now);
                if change.is_some() {
                    tracing::info!(sensor = %self.sensor.name, model = %sighting.model, "sensor online");
                }
                self.announce(change);
                self.say(sighting, now);
            }
            Err(problem) => self.complain(&problem),
        }
    }

    /// What is fresh by itself, or where a format spreads over several fields, with the others.
    fn decode(&mut self, heard: &Heard) -> Result<Sighting, Problem> {
        let key = self.sensor.key.as_ref();
        ble::decode(&heard.fresh, key, &mut self.memory).or_else(|problem| {
            if heard.whole == heard.fresh || problem.kind == ProblemKind::Replayed {
                return Err(problem);
            }
            ble::decode(&heard.whole, key, &mut self.memory).map_err(|_| problem)
        })
    }

    fn say(&mut self, sighting: Sighting, now: Instant) {
        let Sighting { measurements, packet, event, .. } = sighting;
        let is_known = if event {
            self.has_happened(&measurements, packet, now)
        } else {
            self.said.as_ref().is_some_and(|said| {
                said.measurements == measurements
                    && said.packet == packet
                    && now.since(said.published_at) < REPEAT
            })
        };
        if is_known {
            return;
        }
        let taken_at = self.clock.now();
        let rssi = self.signals.iter().map(|(_, rssi, _)| *rssi).max();
        let sensor = self.sensor.name.clone();
        let reading = Reading { sensor, taken_at, rssi, measurements: measurements.clone() };
        self.sink.reading(self.sensor.topics.state_of(reading));
        if event {
            if self.happened.len() == EVENTS {
                self.happened.pop_front();
            }
            self.happened.push_back(Happened { measurements, packet, heard_at: now });
        } else {
            self.said = Some(Said { measurements, packet, published_at: now });
        }
    }

    /// Whether this is the repetition of something that was published; if it is not, it is forgotten for the new one.
    fn has_happened(&mut self, measurements: &Measurements, packet: Option<u32>, now: Instant) -> bool {
        let same = |one: &Happened| one.packet == packet && one.measurements == *measurements;
        let Some(place) = self.happened.iter().position(same) else { return false };
        let is_last = place + 1 == self.happened.len();
        let Some(known) = self.happened.get_mut(place) else { return false };
        let pause = now.since(std::mem::replace(&mut known.heard_at, now));
        let is_repetition = match packet {
            Some(_) => is_last || pause < COUNTED_AROUND,
            None => pause < PAUSE,
        };
        if !is_repetition {
            self.happened.remove(place);
        }
        is_repetition
    }

    /// The best of the radios that hear it counts.
    fn signal(&mut self, heard: &Heard, now: Instant) {
        self.signals.retain(|(radio, _, at)| *radio != heard.radio && now.since(*at) < SIGNAL);
        if let Some(rssi) = heard.fresh.rssi {
            self.signals.push((Arc::clone(&heard.radio), rssi, now));
        }
    }

    fn complain(&mut self, problem: &Problem) {
        // Many sensors send a beacon or a maker's field beside what they say: it is no error.
        if problem.kind == ProblemKind::Unknown {
            return;
        }
        self.sink.counters().problem(problem.kind);
        if self.told.replace(problem.kind) != Some(problem.kind) {
            tracing::warn!(sensor = %self.sensor.name, kind = problem.kind.label(), "{problem}");
            // What a person has to do something about; a damaged frame is none of that.
            let lasts = [ProblemKind::NoKey, ProblemKind::WrongKey, ProblemKind::Replayed];
            let trouble = lasts.contains(&problem.kind).then(|| problem.to_string());
            self.sink.counters().trouble(trouble);
        }
    }

    fn announce(&mut self, change: Option<PresenceChange>) {
        let Some(change) = change else { return };
        let online = change == PresenceChange::Online;
        self.sink.counters().online(online);
        self.sink.presence(self.sensor.topics.availability_of(online, self.clock.now()));
    }

    /// How long until something is due though nothing is heard.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let absence = self.presence.next_timeout().map(|at| at.since(now));
        let flush = self.sink.is_waiting().then_some(FLUSH_AGAIN);
        absence.into_iter().chain(flush).min()
    }

    /// Whatever is due.
    pub(super) fn timeout(&mut self) {
        let gone = self.presence.timeout(self.clock.monotonic());
        if gone.is_some() {
            tracing::warn!(sensor = %self.sensor.name, address = %self.sensor.address,
                "sensor offline: nothing is heard from it");
        }
        self.announce(gone);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::adapter::Counters;
    use crate::device::ble::{Advertisement, Uuid};
    use crate::durable::MessageBody;
    use crate::net::Publication;
    use crate::reading::Value;

    fn sensor() -> BleSensor {
        let name = SensorName::parse("k").unwrap();
        let topics = SensorTopics::new("g", &name).unwrap();
        BleSensor { name, address: Address::default(), key: None, topics }
    }

    fn heard(radio: &str, rssi: i16, bthome: &[u8]) -> Heard {
        let mut fresh = Advertisement { rssi: Some(rssi), ..Advertisement::default() };
        fresh.service_data.push((Uuid::from_short(0xFCD2), Bytes::copy_from_slice(bthome)));
        Heard { radio: radio.into(), whole: fresh.clone(), fresh }
    }

    fn readings(inbox: &mut mpsc::Receiver<Vec<Publication>>) -> Vec<(Value, Option<i16>)> {
        let mut readings = Vec::new();
        while let Ok(publications) = inbox.try_recv() {
            for publication in publications {
                if let MessageBody::Reading(reading) = publication.message.body {
                    readings.push((reading.measurements.last().unwrap().value.clone(), reading.rssi));
                }
            }
        }
        readings
    }

    #[tokio::test]
    async fn what_is_repeated_is_said_once_and_with_the_best_signal() {
        let (sender, mut inbox) = mpsc::channel(64);
        let counters = Arc::new(Counters::default());
        let mut listening = Listening::new(sensor(), Sink::new(sender, counters), Clock::system());
        let warm = [0x40, 0x02, 0xCA, 0x09];
        for (radio, rssi) in [("hci0", -70), ("hci1", -50), ("hci0", -71)] {
            listening.hear(&heard(radio, rssi, &warm));
        }
        listening.hear(&heard("hci0", -72, &[0x40, 0x02, 0xCB, 0x09]));
        listening.sink.flush();
        assert_eq!(
            readings(&mut inbox),
            [(Value::Number(25.06), Some(-70)), (Value::Number(25.07), Some(-50))]
        );
        // A button with a number is pressed once however often it is heard, and again with another number.
        for number in [1, 1, 1, 2] {
            listening.hear(&heard("hci0", -60, &[0x40, 0x00, number, 0x3A, 0x01]));
        }
        listening.sink.flush();
        assert_eq!(readings(&mut inbox).len(), 2);
        // Late, from the other radio; and mixed with what is so.
        listening.hear(&heard("hci1", -60, &[0x40, 0x00, 1, 0x3A, 0x01]));
        for _ in 0..3 {
            listening.hear(&heard("hci0", -60, &warm));
            listening.hear(&heard("hci0", -60, &[0x40, 0x00, 2, 0x3A, 0x01]));
            listening.hear(&heard("hci0", -60, &[0x40, 0x3A, 0x02]));
        }
        listening.sink.flush();
        let events = [Value::Number(25.06), Value::Text("double_press".into())];
        assert_eq!(readings(&mut inbox).into_iter().map(|(value, _)| value).collect::<Vec<_>>(), events);
        let online = listening.sink.counters().now().online;
        assert!(online);
    }
}
