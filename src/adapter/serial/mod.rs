//! A sensor behind a serial port: opened for as long as the gateway runs, whatever happens to the cable.
//!
//! A port that is gone, cannot be opened or falls silent is told once, in one line of the log and in the sensor's
//! availability, and tried again for ever. The descriptor is dropped before the port is opened again: otherwise
//! the kernel would give the adapter another name.

mod open;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Sink;
use crate::clock::Clock;
use crate::device::Profile;
use crate::reading::SensorName;
use crate::route::{Presence, PresenceChange, SensorTopics};

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
    pub path: PathBuf,
    /// What it is, completed by its options.
    pub profile: Arc<Profile>,
    /// Where it is published.
    pub topics: SensorTopics,
}

/// Serves one sensor for ever; dropping the future closes the port.
pub async fn serve(sensor: SerialSensor, sink: Sink, clock: Clock) {
    let interval = sensor.profile.polls.iter().map(|poll| poll.interval).max();
    let mut port = Port { sensor, sink, clock, presence: Presence::new(interval) };
    let mut backoff = BACKOFF_SHORTEST;
    let mut told = None;
    loop {
        match open::open(&port.sensor.path, port.sensor.profile.serial).await {
            Ok(stream) => {
                tracing::info!(sensor = %port.sensor.name, port = %port.sensor.path.display(),
                    serial = %port.settings(), profile = %port.sensor.profile.id, "port opened");
                port.sink.counters().opened();
                let lost = port.session(stream).await;
                tracing::warn!(sensor = %port.sensor.name, port = %port.sensor.path.display(),
                    "{lost}; it is opened again as soon as it is back");
                // A session that heard something earns a quick return; one that broke at once does not.
                if lost.heard {
                    backoff = BACKOFF_SHORTEST;
                }
                told = None;
            }
            Err(problem) => {
                if told.as_ref() != Some(&problem) {
                    tracing::warn!(sensor = %port.sensor.name, "{problem}");
                    told = Some(problem);
                }
            }
        }
        let lost = port.presence.lost();
        port.announce(lost);
        port.sink.flush();
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_LONGEST);
    }
}

/// One sensor's port, open or not.
struct Port {
    sensor: SerialSensor,
    sink: Sink,
    clock: Clock,
    presence: Presence,
}

impl Port {
    fn announce(&mut self, change: Option<PresenceChange>) {
        let Some(change) = change else { return };
        let online = change == PresenceChange::Online;
        self.sink.counters().online(online);
        self.sink.presence(self.sensor.topics.availability_of(online, self.clock.now()));
    }

    /// As a person writes it: `9600 8N1`.
    fn settings(&self) -> String {
        let serial = self.sensor.profile.serial;
        format!("{} {}", serial.baud, serial.format)
    }
}
