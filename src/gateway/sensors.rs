//! Sensors: from their configuration to running sources, one task each.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::adapter::profiles;
use crate::adapter::serial::{self, SerialSensor};
use crate::adapter::{Counters, Sink};
use crate::clock::Clock;
use crate::config::{self, Source};
use crate::device::Library;
use crate::net::{Entrance, Stopped};
use crate::route::SensorTopics;

use super::presence::PresenceBoard;

/// A sensor of the configuration. Its port is closed when this is dropped.
pub(super) struct KeptSensor {
    pub(super) settings: config::Sensor,
    pub(super) counters: Arc<Counters>,
    /// `Err`: why it cannot run as it is configured.
    running: Result<Running, String>,
}

struct Running {
    topics: SensorTopics,
    task: AbortHandle,
}

impl Drop for KeptSensor {
    fn drop(&mut self) {
        if let Ok(running) = &self.running {
            running.task.abort();
        }
    }
}

impl KeptSensor {
    /// Where it is connected.
    pub(super) fn place(&self) -> String {
        match &self.settings.source {
            Source::Serial { path } => path.display().to_string(),
            Source::Modbus { path, unit } => format!("{} unit {unit}", path.display()),
            Source::Ble { address, .. } => address.map(|byte| format!("{byte:02X}")).join(":"),
        }
    }

    /// Why it cannot run as it is configured.
    pub(super) fn problem(&self) -> Option<&str> {
        self.running.as_ref().err().map(String::as_str)
    }

    /// Where its presence is published.
    pub(super) fn topics(&self) -> Option<&SensorTopics> {
        self.running.as_ref().ok().map(|running| &running.topics)
    }
}

/// What all sensors of a gateway work with.
pub(super) struct Sources<'a> {
    gateway: &'a str,
    library: Library,
    entrance: &'a Entrance,
    presence: &'a PresenceBoard,
    clock: &'a Clock,
}

impl<'a> Sources<'a> {
    /// Reads the profiles; what cannot be read is logged and stops nothing.
    pub(super) fn new(
        gateway: &'a config::Gateway,
        entrance: &'a Entrance,
        presence: &'a PresenceBoard,
        clock: &'a Clock,
    ) -> Sources<'a> {
        let (library, unreadable) = profiles::library(&gateway.profile_dirs);
        for problem in unreadable {
            tracing::warn!("a device profile cannot be read: {problem}");
        }
        Sources { gateway: &gateway.id, library, entrance, presence, clock }
    }

    /// Starts one sensor. One that cannot run is kept, with the reason, and stops no other.
    pub(super) async fn start(&self, settings: &config::Sensor) -> Result<KeptSensor, Stopped> {
        let counters = Arc::new(Counters::default());
        let (source, _) = self.entrance.source().await?;
        let sink = Sink::new(self.presence.watched(source), Arc::clone(&counters));
        let running = self.try_to_start(settings, sink);
        if let Err(problem) = &running {
            tracing::error!("sensor {} is not served: {problem}", settings.name);
        }
        Ok(KeptSensor { settings: settings.clone(), counters, running })
    }

    fn try_to_start(&self, settings: &config::Sensor, sink: Sink) -> Result<Running, String> {
        let Source::Serial { path } = &settings.source else {
            return Err("this version serves serial ports only".to_owned());
        };
        let Some(profile) = &settings.profile else {
            return Err("it has no profile".to_owned());
        };
        let profile = self.library.profile(profile).map_err(|error| error.to_string())?;
        let profile = profile.with_options(&settings.options).map_err(|error| error.to_string())?;
        let topics = SensorTopics::new(self.gateway, &settings.name).map_err(|error| error.to_string())?;
        let sensor = SerialSensor {
            name: settings.name.clone(),
            path: path.clone(),
            profile: Arc::new(profile),
            topics: topics.clone(),
        };
        let task = tokio::spawn(serial::serve(sensor, sink, self.clock.clone())).abort_handle();
        Ok(Running { topics, task })
    }
}
