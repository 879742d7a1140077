//! Connections through btleplug.
//!
//! Every call is given up after a while: bluetoothd may hang, and btleplug itself would wait half a minute. What
//! btleplug does not tell is looked for: whether the connection still stands.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use btleplug::api::{
    Central as _, CharPropFlags, Characteristic, Manager as _, Peripheral as _, ValueNotification, WriteType,
};
use btleplug::platform::{Adapter, Manager, Peripheral};
use futures_core::Stream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::link::{Abilities, Central, Link, LinkError, Unconnected};
use crate::adapter::ble::bus::OwnRuntime;
use crate::device::ble::{Address, Uuid};

/// A call to bluetoothd that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(4);
/// A device may take this long to accept a connection and to tell its services...
const CONNECT: Duration = Duration::from_secs(20);
/// ...to answer a read or a write (Core Specification, Vol 3, Part F, 3.3.3: a transaction times out after 30 s)...
const ANSWER: Duration = Duration::from_secs(10);
/// ...and how often the connection is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// This machine's radios, for connections.
#[derive(Debug, Default)]
pub struct Plug {
    /// A connection to the bus for questions; forgotten when it does not answer.
    manager: Mutex<Option<(OwnRuntime, Manager)>>,
}

async fn adapters_of(manager: &Manager) -> Result<Vec<Adapter>, String> {
    match timeout(PATIENCE, manager.adapters()).await {
        Ok(Ok(adapters)) => Ok(adapters),
        Ok(Err(error)) => Err(format!("bluetoothd: {error}")),
        Err(_) => Err("bluetoothd does not answer".to_owned()),
    }
}

/// The device, as a radio knows it.
async fn find(
    manager: &Manager,
    address: Address,
    radio: Option<&str>,
) -> Result<Option<(String, Peripheral)>, String> {
    for adapter in adapters_of(manager).await? {
        let Ok(Ok(info)) = timeout(PATIENCE, adapter.adapter_info()).await else { continue };
        let name = info.split(' ').next().unwrap_or_default().to_owned();
        if radio.is_some_and(|radio| radio != name) {
            continue;
        }
        let known = timeout(PATIENCE, adapter.peripherals()).await;
        let known = known.map_err(|_| "bluetoothd does not answer".to_owned())?;
        let known = known.map_err(|error| format!("bluetoothd: {error}"))?;
        let found = known.into_iter().find(|one| one.address().into_inner() == address.0);
        if let Some(found) = found {
            return Ok(Some((name, found)));
        }
    }
    Ok(None)
}

async fn connect() -> Result<(OwnRuntime, Manager), String> {
    let own = OwnRuntime::new().map_err(|error| format!("no D-Bus: {error}"))?;
    let manager = own.connect(Manager::new()).await.map_err(|error| format!("no D-Bus: {error}"))?;
    manager.map(|manager| (own, manager)).map_err(|error| format!("no D-Bus: {error}"))
}

impl Central for Plug {
    type Link = PlugLink;

    /// Over a connection to the bus of its own: signals get lost where one task waits for them and another stops to, as
    /// happens when two devices are connected to at once.
    async fn connect(&self, address: Address, radio: &str) -> Result<PlugLink, Unconnected> {
        let (own, manager) = connect().await.map_err(Unconnected::Radio)?;
        let found = find(&manager, address, Some(radio)).await.map_err(Unconnected::Radio)?;
        let Some((_, peripheral)) = found else {
            return Err(Unconnected::Radio(format!("{radio} does not know the device any more")));
        };
        // From here on a connection may stand, which is ended with this.
        let mut link = PlugLink::new(peripheral, own);
        let outcome = timeout(CONNECT, async {
            link.peripheral.connect().await?;
            link.peripheral.discover_services().await
        });
        let why = match outcome.await {
            Ok(Ok(())) => {
                link.look_around();
                return Ok(link);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} s", CONNECT.as_secs()),
        };
        link.close().await;
        Err(Unconnected::Device(why))
    }

    async fn connected_on(&self, address: Address) -> Option<String> {
        let mut known = self.manager.lock().await;
        let (own, manager) = match known.take() {
            Some(known) => known,
            None => connect().await.ok()?,
        };
        // The bus may be another one by now: who does not answer is forgotten.
        let (radio, peripheral) =
            find(&manager, address, None).await.inspect(|_| *known = Some((own, manager))).ok()??;
        let is_connected = timeout(PATIENCE, peripheral.is_connected()).await;
        matches!(is_connected, Ok(Ok(true))).then_some(radio)
    }
}

type Notifications = Pin<Box<dyn Stream<Item = ValueNotification> + Send>>;

/// A connection of btleplug's.
pub struct PlugLink {
    peripheral: Peripheral,
    characteristics: BTreeMap<Uuid, Characteristic>,
    notifications: Option<Notifications>,
    looked_at: Instant,
    is_closed: bool,
    /// The connection to the bus.
    own: Option<OwnRuntime>,
}

impl PlugLink {
    fn new(peripheral: Peripheral, own: OwnRuntime) -> PlugLink {
        PlugLink {
            peripheral,
            own: Some(own),
            characteristics: BTreeMap::new(),
            notifications: None,
            looked_at: Instant::now(),
            is_closed: false,
        }
    }

    /// What the device has.
    fn look_around(&mut self) {
        let services = self.peripheral.services();
        let all = services.into_iter().flat_map(|service| service.characteristics);
        for characteristic in all {
            self.characteristics.entry(Uuid(characteristic.uuid.as_u128())).or_insert(characteristic);
        }
    }

    fn characteristic(&self, uuid: Uuid) -> Result<&Characteristic, LinkError> {
        let refused = || LinkError::Refused(format!("it has no characteristic {uuid}"));
        self.characteristics.get(&uuid).ok_or_else(refused)
    }

    async fn look(&mut self) -> Result<(), LinkError> {
        let outcome = timeout(PATIENCE, self.peripheral.is_connected()).await;
        self.looked_at = Instant::now();
        match outcome {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(LinkError::Lost("the device is gone".to_owned())),
            Ok(Err(error)) => Err(LinkError::Lost(error.to_string())),
            Err(_) => Err(LinkError::Lost("bluetoothd does not answer".to_owned())),
        }
    }
}

/// An error of a device that is still connected is the device's word.
async fn judge<T>(
    peripheral: &Peripheral,
    outcome: Result<btleplug::Result<T>, tokio::time::error::Elapsed>,
) -> Result<T, LinkError> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => match timeout(PATIENCE, peripheral.is_connected()).await {
            Ok(Ok(true)) => Err(LinkError::Refused(error.to_string())),
            _ => Err(LinkError::Lost(error.to_string())),
        },
        Err(_) => Err(LinkError::Lost("no answer".to_owned())),
    }
}

impl Link for PlugLink {
    fn abilities(&self, uuid: Uuid) -> Option<Abilities> {
        let properties = self.characteristics.get(&uuid)?.properties;
        Some(Abilities {
            read: properties.contains(CharPropFlags::READ),
            notify: properties.intersects(CharPropFlags::NOTIFY | CharPropFlags::INDICATE),
        })
    }

    async fn read(&mut self, uuid: Uuid) -> Result<Vec<u8>, LinkError> {
        let outcome = timeout(ANSWER, self.peripheral.read(self.characteristic(uuid)?)).await;
        judge(&self.peripheral, outcome).await
    }

    async fn write(&mut self, uuid: Uuid, value: &[u8]) -> Result<(), LinkError> {
        let characteristic = self.characteristic(uuid)?.clone();
        let with_response = characteristic.properties.contains(CharPropFlags::WRITE);
        let kind = if with_response { WriteType::WithResponse } else { WriteType::WithoutResponse };
        // What is longer than a packet goes as several: a long write needs the device's help, a stream does not.
        let room = usize::from(self.peripheral.mtu()).saturating_sub(3).max(20);
        for piece in value.chunks(room) {
            let outcome = timeout(ANSWER, self.peripheral.write(&characteristic, piece, kind)).await;
            judge(&self.peripheral, outcome).await?;
        }
        Ok(())
    }

    async fn listen(&mut self, uuid: Uuid) -> Result<(), LinkError> {
        let characteristic = self.characteristic(uuid)?.clone();
        if self.notifications.is_none() {
            let outcome = timeout(PATIENCE, self.peripheral.notifications()).await;
            self.notifications = Some(judge(&self.peripheral, outcome).await?);
        }
        let outcome = timeout(ANSWER, self.peripheral.subscribe(&characteristic)).await;
        judge(&self.peripheral, outcome).await
    }

    async fn next(&mut self) -> Result<(Uuid, Vec<u8>), LinkError> {
        loop {
            let look_at = self.looked_at + LOOK;
            let notifications = &mut self.notifications;
            let notified = std::future::poll_fn(|context| match notifications {
                Some(stream) => stream.as_mut().poll_next(context),
                None => std::task::Poll::Pending,
            });
            tokio::select! {
                notified = notified => return match notified {
                    Some(one) => Ok((Uuid(one.uuid.as_u128()), one.value)),
                    None => Err(LinkError::Lost("the connection to D-Bus is gone".to_owned())),
                },
                () = sleep_until(look_at) => {}
            }
            self.look().await?;
        }
    }

    async fn close(mut self) {
        self.is_closed = true;
        // Gone already, or bluetoothd is: both end it, too.
        let _ = timeout(PATIENCE, self.peripheral.disconnect()).await;
    }
}

impl Drop for PlugLink {
    /// A sensor that is taken away in the middle of a connection does not leave it standing.
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (peripheral, own) = (self.peripheral.clone(), self.own.take());
            runtime.spawn(async move {
                // Gone already, or bluetoothd is: both end it, too.
                let _ = timeout(PATIENCE, peripheral.disconnect()).await;
                drop(own);
            });
        }
    }
}
