//! Sensors: from their configuration to running sources, one task for each port.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::adapter::ble::{self, BleSensor, GattSensor};
use crate::adapter::profiles;
use crate::adapter::serial::{self, PortAddress, SerialSensor, SetCommand};
use crate::adapter::{Counters, Sink};
use crate::clock::Clock;
use crate::config::{self, Secret, Source};
use crate::device::ble::{Address, Key};
use crate::device::{Library, MeterKey, Options, Profile};
use crate::net::{Entrance, Stopped};
use crate::reading::SensorName;
use crate::route::SensorTopics;

use super::bluetooth::Bluetooth;
use super::presence::PresenceBoard;

/// Commands that wait for one port.
const COMMANDS_WAITING: usize = 16;

/// A sensor of the configuration. Its port is closed when this is dropped.
pub(super) struct KeptSensor {
    pub(super) settings: config::Sensor,
    pub(super) counters: Arc<Counters>,
    /// `Err`: why it cannot run as it is configured.
    running: Result<Running, String>,
}

struct Running {
    topics: SensorTopics,
    line: Arc<RunningLine>,
}

/// The task of a port; it ends with the last of its sensors.
struct RunningLine {
    task: AbortHandle,
    commands: mpsc::Sender<SetCommand>,
}

impl Drop for RunningLine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeptSensor {
    /// Where it is connected.
    pub(super) fn place(&self) -> String {
        match &self.settings.source {
            Source::Serial { port, .. } => port.to_string(),
            Source::Modbus { port, unit: Some(unit), .. } => format!("{port} unit {unit}"),
            Source::Modbus { port, unit: None, .. } => port.to_string(),
            Source::Ble { address, .. } => address.map(|byte| format!("{byte:02X}")).join(":"),
        }
    }

    /// Why it cannot run as it is configured.
    pub(super) fn problem(&self) -> Option<&str> {
        self.running.as_ref().err().map(String::as_str)
    }

    /// By which topic it is set, and how.
    pub(super) fn setter(&self) -> Option<(String, Setter)> {
        let running = self.running.as_ref().ok()?;
        let setter = Setter { sensor: self.settings.name.clone(), commands: running.line.commands.clone() };
        Some((running.topics.set.as_str().to_owned(), setter))
    }

    /// Where its presence is published.
    pub(super) fn topics(&self) -> Option<&SensorTopics> {
        self.running.as_ref().ok().map(|running| &running.topics)
    }
}

/// Sets one sensor. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Setter {
    sensor: SensorName,
    commands: mpsc::Sender<SetCommand>,
}

impl Setter {
    /// Hands over what is to be set; `false` when too much waits already, or the sensor is gone.
    pub(super) fn set(&self, name: &str, value: serde_json::Value) -> bool {
        let command = SetCommand { sensor: self.sensor.clone(), name: name.to_owned(), value };
        self.commands.try_send(command).is_ok()
    }
}

/// What all sensors of a gateway work with.
pub(super) struct Sources<'a> {
    gateway: &'a str,
    library: Library,
    entrance: &'a Entrance,
    presence: &'a PresenceBoard,
    bluetooth: &'a Bluetooth,
    clock: &'a Clock,
}

impl<'a> Sources<'a> {
    /// Reads the profiles; what cannot be read is logged and stops nothing.
    pub(super) fn new(
        gateway: &'a config::Gateway,
        entrance: &'a Entrance,
        presence: &'a PresenceBoard,
        bluetooth: &'a Bluetooth,
        clock: &'a Clock,
    ) -> Sources<'a> {
        let (library, unreadable) = profiles::library(&gateway.profile_dirs);
        for problem in unreadable {
            tracing::warn!("a device profile cannot be read: {problem}");
        }
        Sources { gateway: &gateway.id, library, entrance, presence, bluetooth, clock }
    }

    /// Starts sensors, those on one port together. One that cannot run is kept, with the reason, and stops no other.
    pub(super) async fn start(&self, sensors: &[config::Sensor]) -> Result<Vec<KeptSensor>, Stopped> {
        let mut kept: Vec<KeptSensor> = Vec::new();
        for settings in sensors {
            if kept.iter().any(|known| known.settings.name == settings.name) {
                continue;
            }
            match &settings.source {
                Source::Ble { address, key } => {
                    kept.push(self.start_listening(settings, *address, key.as_ref()).await?);
                }
                _ => kept.extend(self.start_line(&neighbours(settings, sensors)).await?),
            }
        }
        Ok(kept)
    }

    /// Starts the sensors of one port.
    async fn start_line(&self, sensors: &[&config::Sensor]) -> Result<Vec<KeptSensor>, Stopped> {
        let (mut members, mut kept) = (Vec::new(), Vec::new());
        for settings in sensors {
            let counters = Arc::new(Counters::default());
            let (source, _) = self.entrance.source().await?;
            let sink = Sink::new(self.presence.watched(source), Arc::clone(&counters));
            let sensor = self.sensor(settings);
            let topics = sensor.as_ref().map(|sensor| sensor.topics.clone()).map_err(String::clone);
            match sensor {
                Ok(sensor) => members.push((sensor, sink)),
                Err(problem) => tracing::error!("sensor {} is not served: {problem}", settings.name),
            }
            kept.push(((*settings).clone(), counters, topics));
        }
        let (commands, inbox) = mpsc::channel(COMMANDS_WAITING);
        let task = tokio::spawn(serial::serve_line(members, inbox, self.clock.clone()));
        let line = Arc::new(RunningLine { task: task.abort_handle(), commands });
        let keep =
            |(settings, counters, topics): (config::Sensor, Arc<Counters>, Result<SensorTopics, String>)| {
                let running = topics.map(|topics| Running { topics, line: Arc::clone(&line) });
                KeptSensor { settings, counters, running }
            };
        Ok(kept.into_iter().map(keep).collect())
    }

    /// Starts a sensor in the air.
    async fn start_listening(
        &self,
        settings: &config::Sensor,
        address: [u8; 6],
        key: Option<&Secret>,
    ) -> Result<KeptSensor, Stopped> {
        let counters = Arc::new(Counters::default());
        let (source, _) = self.entrance.source().await?;
        let sink = Sink::new(self.presence.watched(source), Arc::clone(&counters));
        // Only a sensor that is read over connections takes commands.
        let (commands, inbox) = mpsc::channel(COMMANDS_WAITING);
        let started = match settings.profile {
            None => self.ble_sensor(settings, address, key).map(|sensor| {
                let topics = sensor.topics.clone();
                let task = ble::serve(sensor, self.bluetooth.antenna(), sink, self.clock.clone());
                (topics, tokio::spawn(task))
            }),
            Some(_) => self.gatt_sensor(settings, address).map(|sensor| {
                let topics = sensor.topics.clone();
                let connections = self.bluetooth.connections();
                let task = ble::serve_connected(sensor, connections, inbox, sink, self.clock.clone());
                (topics, tokio::spawn(task))
            }),
        };
        let running = match started {
            Ok((topics, task)) => {
                let line = Arc::new(RunningLine { task: task.abort_handle(), commands });
                Ok(Running { topics, line })
            }
            Err(problem) => {
                tracing::error!("sensor {} is not served: {problem}", settings.name);
                Err(problem)
            }
        };
        Ok(KeptSensor { settings: settings.clone(), counters, running })
    }

    fn ble_sensor(
        &self,
        settings: &config::Sensor,
        address: [u8; 6],
        key: Option<&Secret>,
    ) -> Result<BleSensor, String> {
        let key = key.map(Secret::reveal).transpose().map_err(|error| error.to_string())?;
        let key =
            key.map(|text| Key::parse(text.trim()).ok_or("its key does not have 32 hexadecimal digits"));
        Ok(BleSensor {
            name: settings.name.clone(),
            address: Address(address),
            key: key.transpose()?,
            topics: SensorTopics::new(self.gateway, &settings.name).map_err(|error| error.to_string())?,
        })
    }

    fn gatt_sensor(&self, settings: &config::Sensor, address: [u8; 6]) -> Result<GattSensor, String> {
        let profile = self.profile(settings)?;
        if profile.gatt.is_none() {
            return Err(format!("a {} is not read over Bluetooth", profile.id));
        }
        Ok(GattSensor {
            name: settings.name.clone(),
            address: Address(address),
            profile: Arc::new(profile),
            topics: SensorTopics::new(self.gateway, &settings.name).map_err(|error| error.to_string())?,
        })
    }

    fn profile(&self, settings: &config::Sensor) -> Result<Profile, String> {
        let Some(profile) = &settings.profile else {
            return Err("it has no profile".to_owned());
        };
        let profile = self.library.profile(profile).map_err(|error| error.to_string())?;
        profile.with_options(&with_keys(settings)?).map_err(|error| error.to_string())
    }

    fn sensor(&self, settings: &config::Sensor) -> Result<SerialSensor, String> {
        let (port, line, unit) = match &settings.source {
            Source::Serial { port, line, .. } => (port, line, None),
            Source::Modbus { port, line, unit } => (port, line, *unit),
            Source::Ble { .. } => return Err("it is not on a port".to_owned()),
        };
        let profile = self.profile(settings)?;
        if profile.serial.is_none() {
            return Err(format!("a {} is read over Bluetooth", profile.id));
        }
        Ok(SerialSensor {
            name: settings.name.clone(),
            port: port.clone(),
            line: *line,
            unit,
            profile: Arc::new(profile),
            topics: SensorTopics::new(self.gateway, &settings.name).map_err(|error| error.to_string())?,
        })
    }
}

/// The options of a sensor, with its secrets.
fn with_keys(settings: &config::Sensor) -> Result<Options, String> {
    let mut options = settings.options.clone();
    if let Source::Serial { keys: [key, authentication_key], .. } = &settings.source {
        let read = |secret: &Option<Secret>| match secret {
            Some(secret) => {
                let text = secret.reveal().map_err(|error| error.to_string())?;
                text.trim().parse::<MeterKey>().map(Some).map_err(str::to_owned)
            }
            None => Ok::<_, String>(None),
        };
        (options.key, options.authentication_key) = (read(key)?, read(authentication_key)?);
    }
    Ok(options)
}

/// The sensors that share a port with this one, itself among them, in the order of the configuration.
pub(super) fn neighbours<'a>(
    settings: &'a config::Sensor,
    sensors: &'a [config::Sensor],
) -> Vec<&'a config::Sensor> {
    let Some(port) = port_of(settings) else { return vec![settings] };
    sensors.iter().filter(|other| port_of(other).as_ref() == Some(&port)).collect()
}

/// The port of a sensor; one may have several names.
fn port_of(settings: &config::Sensor) -> Option<PortAddress> {
    let (Source::Serial { port, .. } | Source::Modbus { port, .. }) = &settings.source else { return None };
    match port.path().map(std::path::Path::canonicalize) {
        Some(Ok(path)) => Some(PortAddress::Path(path)),
        _ => Some(port.clone()),
    }
}
