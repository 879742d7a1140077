//! The radios of a gateway: listened to as soon as anything is configured that needs them, and not before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::task::AbortHandle;

use crate::adapter::ble::{AdvertSource as _, Antenna, Automatic, BlueZ, Connections, Plug, serve_all};
use crate::adapter::{Counters, Sink};
use crate::clock::Clock;
use crate::config::Config;
use crate::device::ble::Address;
use crate::mqtt::TopicName;
use crate::net::Entrance;
use crate::route::SensorTopics;

use super::presence::PresenceBoard;

/// Bluetooth of one gateway. Ends when it is dropped.
pub(super) struct Bluetooth {
    antenna: Arc<Antenna>,
    connections: Arc<Connections<Plug>>,
    clock: Clock,
    radios: OnceLock<AbortHandle>,
    automatic: Mutex<Option<AbortHandle>>,
    found: Arc<Mutex<Found>>,
}

/// Devices that are published of themselves, by their names.
type Found = BTreeMap<String, FoundDevice>;

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct FoundDevice {
    pub(super) address: Address,
    pub(super) counters: Arc<Counters>,
    topics: SensorTopics,
}

impl Bluetooth {
    pub(super) fn new(config: &Config, clock: Clock) -> Bluetooth {
        let antenna = Arc::new(Antenna::default());
        let at_once = usize::from(config.ble.connections.unwrap_or(1));
        Bluetooth {
            connections: Arc::new(Connections::new(Plug::default(), Arc::clone(&antenna), at_once)),
            antenna,
            clock,
            radios: OnceLock::new(),
            automatic: Mutex::new(None),
            found: Arc::default(),
        }
    }

    /// Where sensors listen; the first to ask sets the radios going.
    pub(super) fn antenna(&self) -> Arc<Antenna> {
        self.radios.get_or_init(|| {
            let radios = BlueZ { clock: self.clock.clone() };
            tokio::spawn(radios.listen(Arc::clone(&self.antenna))).abort_handle()
        });
        Arc::clone(&self.antenna)
    }

    /// Connections to sensors that are read so.
    pub(super) fn connections(&self) -> Arc<Connections<Plug>> {
        self.antenna();
        Arc::clone(&self.connections)
    }

    /// What is wrong with the radios.
    pub(super) fn problem(&self) -> Option<String> {
        self.antenna.problem().map(|problem| format!("Bluetooth: {problem}"))
    }

    /// Advertisements that were not decoded in time.
    pub(super) fn missed(&self) -> u64 {
        self.antenna.missed()
    }

    /// The devices that are published of themselves.
    pub(super) fn found(&self) -> Found {
        locked(&self.found).clone()
    }

    /// Publishes the devices of the configured families from now on, and no others. Gives the availability topics
    /// of those that were published before.
    pub(super) fn publish_families(
        &self,
        config: &Config,
        entrance: &Entrance,
        presence: &PresenceBoard,
    ) -> Vec<TopicName> {
        if let Some(before) = locked(&self.automatic).take() {
            before.abort();
        }
        let gone = std::mem::take(&mut *locked(&self.found));
        if !config.ble.auto.is_empty() {
            let (entrance, watch, found) = (entrance.clone(), presence.watching(), Arc::clone(&self.found));
            let forgotten = Arc::clone(&found);
            let automatic = Automatic {
                forget: Box::new(move |name| drop(locked(&forgotten).remove(name.as_str()))),
                families: config.ble.auto.clone(),
                gateway: config.gateway.id.clone(),
                sink: Box::new(move |sensor| {
                    let (entrance, watch) = (entrance.clone(), watch.clone());
                    let counters = Arc::new(Counters::default());
                    let (address, topics) = (sensor.address, sensor.topics.clone());
                    let device = FoundDevice { address, counters: Arc::clone(&counters), topics };
                    locked(&found).insert(sensor.name.to_string(), device);
                    Box::pin(async move {
                        let (source, _) = entrance.source().await.ok()?;
                        Some(Sink::new(watch.watched(source), counters))
                    })
                }),
            };
            let task = tokio::spawn(serve_all(automatic, self.antenna(), self.clock.clone()));
            *locked(&self.automatic) = Some(task.abort_handle());
        }
        gone.into_values().map(|device| device.topics.availability).collect()
    }
}

/// What is behind the lock is whole between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Bluetooth {
    fn drop(&mut self) {
        let automatic = locked(&self.automatic).take();
        for task in self.radios.get().into_iter().chain(automatic.as_ref()) {
            task.abort();
        }
    }
}
