//! Devices of chosen families that are published without being named one by one.
//!
//! Each gets the name of its family and its address: `bthome-a4c138123456`. Bounded: what is over the bound is not
//! published, and said once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::antenna::Antenna;
use super::sensor::{BleSensor, Listening};
use crate::adapter::Sink;
use crate::clock::Clock;
use crate::device::ble::{self, Address, Memory};
use crate::limits;
use crate::reading::SensorName;
use crate::route::SensorTopics;

/// How often it is looked whether devices are still there: not for each of them after each advertisement.
const LOOK: Duration = Duration::from_secs(1);

type Making = Pin<Box<dyn Future<Output = Option<Sink>> + Send>>;

/// What is published of itself.
pub struct Automatic {
    /// Families, as [`ble::families`] names them.
    pub families: Vec<String>,
    /// The gateway's name.
    pub gateway: String,
    /// Makes the way to the broker for one more sensor.
    pub sink: Box<dyn Fn(&BleSensor) -> Making + Send + Sync>,
    /// Told of a sensor that is not published any more: it was not heard for long, and another needs its place.
    pub forget: Box<dyn Fn(&SensorName) + Send + Sync>,
}

/// Serves every device of the families that nobody listens to by its address, for ever.
pub async fn serve_all(automatic: Automatic, antenna: Arc<Antenna>, clock: Clock) {
    let mut ear = antenna.tune_to_others();
    let mut devices: HashMap<Address, Listening> = HashMap::new();
    let mut is_full = false;
    let mut may_have_room = true;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = ear.recv() => {
                let Some(heard) = heard else { return };
                let address = heard.fresh.address;
                if let Some(device) = devices.get_mut(&address) {
                    device.hear(&heard);
                    device.sink.flush();
                } else if let Some(sensor) = automatic.sensor(&heard) {
                    if devices.len() >= limits::BLE_AUTOMATIC && may_have_room {
                        may_have_room = automatic.make_room(&mut devices);
                    }
                    if devices.len() >= limits::BLE_AUTOMATIC {
                        if !std::mem::replace(&mut is_full, true) {
                            tracing::warn!("more than {} devices would be published of themselves; the rest is not", limits::BLE_AUTOMATIC);
                        }
                        continue;
                    }
                    let Some(sink) = (automatic.sink)(&sensor).await else { return };
                    let mut device = Listening::new(sensor, sink, clock.clone());
                    device.hear(&heard);
                    device.sink.flush();
                    devices.insert(address, device);
                }
            }
            _ = look.tick() => {
                may_have_room = true;
                for device in devices.values_mut() {
                    device.timeout();
                    device.sink.flush();
                }
            }
        }
    }
}

impl Automatic {
    /// Forgets the device that was offline longest, if any is: addresses that change by themselves never come back.
    fn make_room(&self, devices: &mut HashMap<Address, Listening>) -> bool {
        let offline = devices.iter().filter(|(_, device)| !device.sink.counters().is_online());
        let gone = offline.min_by_key(|(_, device)| device.heard_at()).map(|(address, _)| *address);
        let Some(mut device) = gone.and_then(|address| devices.remove(&address)) else { return false };
        device.forget();
        (self.forget)(device.name());
        true
    }

    /// The sensor that a device would be, if it is of a family that is wanted.
    fn sensor(&self, heard: &super::Heard) -> Option<BleSensor> {
        let decoded = ble::decode(&heard.fresh, None, &mut Memory::default())
            .or_else(|_| ble::decode(&heard.whole, None, &mut Memory::default()))
            .ok()?;
        if !self.families.iter().any(|family| family == decoded.family) {
            return None;
        }
        let address = heard.fresh.address;
        let digits = address.to_string().replace(':', "").to_ascii_lowercase();
        let name = SensorName::parse(&format!("{}-{digits}", decoded.family))?;
        let topics = SensorTopics::new(&self.gateway, &name).ok()?;
        tracing::info!(sensor = %name, model = %decoded.model, "found a device to publish");
        Some(BleSensor { name, address, key: None, topics })
    }
}
