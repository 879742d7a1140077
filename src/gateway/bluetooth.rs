//! The radios of a gateway: listened to as soon as anything is configured that needs them, and not before.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::task::AbortHandle;

use crate::adapter::ble::{AdvertSource as _, Antenna, Automatic, BlueZ, Connections, Plug, serve_all};
use crate::adapter::{Counters, Sink};
use crate::clock::Clock;
use crate::config::Config;
use crate::net::Entrance;

use super::presence::PresenceBoard;

/// Bluetooth of one gateway. Ends when it is dropped.
pub(super) struct Bluetooth {
    antenna: Arc<Antenna>,
    connections: Arc<Connections<Plug>>,
    clock: Clock,
    radios: OnceLock<AbortHandle>,
    automatic: Mutex<Option<AbortHandle>>,
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

    /// Publishes the devices of the configured families from now on, and no others.
    pub(super) fn publish_families(&self, config: &Config, entrance: &Entrance, presence: &PresenceBoard) {
        let task = (!config.ble.auto.is_empty()).then(|| {
            let (entrance, watch) = (entrance.clone(), presence.watching());
            let automatic = Automatic {
                families: config.ble.auto.clone(),
                gateway: config.gateway.id.clone(),
                sink: Box::new(move || {
                    let (entrance, watch) = (entrance.clone(), watch.clone());
                    Box::pin(async move {
                        let (source, _) = entrance.source().await.ok()?;
                        Some(Sink::new(watch.watched(source), Arc::new(Counters::default())))
                    })
                }),
            };
            tokio::spawn(serve_all(automatic, self.antenna(), self.clock.clone())).abort_handle()
        });
        let mut running = self.automatic.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *running, task) {
            before.abort();
        }
    }
}

impl Drop for Bluetooth {
    fn drop(&mut self) {
        let automatic = self.automatic.lock().unwrap_or_else(PoisonError::into_inner).take();
        for task in self.radios.get().into_iter().chain(automatic.as_ref()) {
            task.abort();
        }
    }
}
