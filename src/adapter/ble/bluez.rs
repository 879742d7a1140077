//! The radios of this machine through BlueZ on the system's D-Bus.
//!
//! Uses bluez-async, the engine under btleplug, itself: it says what changed without asking the bus again for every
//! event, and it can switch a radio off and on. Everything here may vanish at any time: the bus, bluetoothd, a radio.
//! Each is noticed within some seconds, told once and awaited; a call that hangs is given up.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bluez_async::{
    AdapterEvent, AdapterId, AdapterInfo, BluetoothError, BluetoothEvent, BluetoothSession, DeviceEvent,
    DeviceId, DeviceInfo, DiscoveryFilter, Transport,
};
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::antenna::{AdvertSource, Antenna, Heard};
use super::bus::OwnRuntime;
use super::pauses::Wish;
use super::snapshot::{Sight, Snapshot, Snapshots};
use super::watchdog::{Cure, Watchdog};
use crate::clock::Clock;
use crate::device::ble::{Address, Uuid};
use crate::limits;

/// A call to bluetoothd that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often the radios are looked at.
const LOOK: Duration = Duration::from_secs(3);
/// How soon what is missing is looked for again...
const RETRY: Duration = Duration::from_secs(2);
/// ...and where the bus itself is missing.
const RETRY_BUS: Duration = Duration::from_secs(15);
/// Calls in a row that hang before the connection to the bus is given up.
const HANGS: u32 = 2;

/// The radios of this machine.
#[derive(Debug, Clone)]
pub struct BlueZ {
    /// Tells how long nothing was heard.
    pub clock: Clock,
}

impl AdvertSource for BlueZ {
    async fn listen(self, antenna: Arc<Antenna>) {
        loop {
            let (why, wait) = match listen_once(&antenna, &self.clock).await {
                Ok(why) => (why, RETRY),
                Err(why) => (format!("no D-Bus, so no Bluetooth: {why}"), RETRY_BUS),
            };
            tell(&antenna, Some(why));
            sleep(wait).await;
        }
    }
}

/// Listens over one connection to the bus; comes back with the reason when it ends.
async fn listen_once(antenna: &Antenna, clock: &Clock) -> Result<String, String> {
    let own = OwnRuntime::new().map_err(|error| error.to_string())?;
    let connected = own.connect(BluetoothSession::new()).await.map_err(|error| error.to_string())?;
    let (lost, session) = connected.map_err(|error| error.to_string())?;
    Ok(tokio::select! {
        why = listen_on(&session, antenna, clock) => why,
        _ = lost => "the connection to D-Bus was lost".to_owned(),
    })
}

/// Says what is wrong, once.
fn tell(antenna: &Antenna, problem: Option<String>) {
    match problem {
        Some(problem) => {
            if antenna.report(Some(problem.clone())) {
                tracing::warn!("Bluetooth: {problem}");
            }
        }
        None => {
            if antenna.report(None) {
                tracing::info!("Bluetooth: listening");
            }
        }
    }
}

/// Why a call gave nothing.
enum Failure {
    Hangs,
    Says(BluetoothError),
}

impl Failure {
    fn words(&self) -> String {
        match self {
            Failure::Hangs => "bluetoothd does not answer".to_owned(),
            Failure::Says(error) => format!("bluetoothd: {error}"),
        }
    }
}

async fn call<T>(asked: impl Future<Output = Result<T, BluetoothError>>) -> Result<T, Failure> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::Says(error)),
        Err(_) => Err(Failure::Hangs),
    }
}

/// Listens as long as the bus lets us; comes back with the reason when it does not.
async fn listen_on(session: &BluetoothSession, antenna: &Antenna, clock: &Clock) -> String {
    let mut hangs = 0;
    let mut snapshots = Snapshots::new(limits::BLE_DEVICES);
    loop {
        let why = match call(session.get_adapters()).await {
            Ok(radios) if radios.is_empty() => "there is no Bluetooth radio".to_owned(),
            Ok(radios) => {
                hangs = 0;
                let mut round = Round {
                    session,
                    antenna,
                    clock,
                    snapshots: &mut snapshots,
                    watchdog: Watchdog::new(clock.monotonic()),
                    is_scanning: false,
                };
                match round.listen(&radios).await {
                    Failed::Changed => continue,
                    Failed::Because(failure) => {
                        hangs += u32::from(matches!(failure, Failure::Hangs));
                        failure.words()
                    }
                }
            }
            Err(failure) => {
                hangs += u32::from(matches!(failure, Failure::Hangs));
                failure.words()
            }
        };
        antenna.restarted();
        if hangs >= HANGS {
            return why;
        }
        tell(antenna, Some(why));
        sleep(RETRY).await;
    }
}

/// Why a round of listening ended.
enum Failed {
    /// The radios are others now.
    Changed,
    Because(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed::Because(failure)
    }
}

/// Listening with the radios as they are.
struct Round<'a> {
    session: &'a BluetoothSession,
    antenna: &'a Antenna,
    clock: &'a Clock,
    snapshots: &'a mut Snapshots,
    watchdog: Watchdog,
    /// Every radio did when it was looked at last.
    is_scanning: bool,
}

impl Round<'_> {
    async fn listen(&mut self, radios: &[AdapterInfo]) -> Failed {
        // Its tasks end with it.
        let mut streams = JoinSet::new();
        let (sender, mut events) = mpsc::channel(limits::BLE_UNREAD);
        for radio in radios {
            match call(self.session.adapter_event_stream(&radio.id)).await {
                Ok(stream) => drop(streams.spawn(forward(Box::pin(stream), sender.clone()))),
                Err(failure) => return failure.into(),
            }
            match call(self.session.get_devices_on_adapter(&radio.id)).await {
                Ok(devices) => self.remember(devices),
                Err(failure) => return failure.into(),
            }
        }
        let mut pauses = self.antenna.pauses().subscribe();
        if let Err(failed) = self.look(radios).await {
            return failed;
        }
        let mut look = interval(LOOK);
        look.reset();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        if let Err(failure) = self.take(event).await {
                            return failure.into();
                        }
                    }
                    None => return Failed::Changed,
                },
                Ok(()) = pauses.changed() => {
                    if let Err(failure) = self.mind_pauses(radios).await {
                        return failure.into();
                    }
                }
                _ = look.tick() => {
                    if let Err(failed) = self.look(radios).await {
                        return failed;
                    }
                }
            }
        }
    }

    /// What BlueZ knows of devices before anything is heard.
    fn remember(&mut self, devices: Vec<DeviceInfo>) {
        for device in devices {
            let address = Address(device.mac_address.into());
            if self.antenna.is_wanted(address) && !self.snapshots.contains(address) {
                self.snapshots.remember(address, snapshot(device));
            }
        }
    }

    /// Stops and begins to scan as those who connect want it.
    async fn mind_pauses(&mut self, radios: &[AdapterInfo]) -> Result<(), Failure> {
        for radio in radios {
            let name = radio.id.to_string();
            let outcome = match self.antenna.pauses().wish(&name) {
                Wish::None => continue,
                // It may not be scanning.
                Wish::Stop => call(self.session.stop_discovery_on_adapter(&radio.id)).await,
                Wish::Begin => {
                    self.watchdog.was_paused(self.clock.monotonic());
                    self.scan(&radio.id).await
                }
            };
            self.antenna.pauses().is_silent(&name, self.antenna.pauses().is_asked(&name));
            // What else fails is seen and said at the next look.
            if let Err(Failure::Hangs) = outcome {
                return Err(Failure::Hangs);
            }
        }
        Ok(())
    }

    /// Are the radios there, switched on and scanning, and do they hear anything?
    async fn look(&mut self, radios: &[AdapterInfo]) -> Result<(), Failed> {
        let now = call(self.session.get_adapters()).await?;
        if now.is_empty() {
            return Err(Failed::Because(Failure::Says(BluetoothError::NoBluetoothAdapters)));
        }
        let same =
            now.len() == radios.len() && radios.iter().all(|one| now.iter().any(|other| other.id == one.id));
        if !same {
            return Err(Failed::Changed);
        }
        self.mind_pauses(radios).await?;
        let cure = self.watchdog.cure(self.clock.monotonic());
        let mut problem = None;
        for radio in &now {
            if self.is_scanning
                && !radio.discovering
                && !self.antenna.pauses().is_asked(&radio.id.to_string())
            {
                self.antenna.restarted();
            }
            let outcome = match cure {
                _ if self.antenna.pauses().is_asked(&radio.id.to_string()) => Ok(()),
                _ if !radio.powered || !radio.discovering => self.scan(&radio.id).await,
                Cure::Wait => Ok(()),
                Cure::Restart | Cure::Complain => self.rescan(&radio.id).await,
                Cure::PowerCycle => self.power_cycle(&radio.id).await,
            };
            match outcome {
                Ok(()) => {}
                Err(Failure::Hangs) => return Err(Failure::Hangs.into()),
                Err(failure) if !radio.powered => {
                    let words = failure.words();
                    problem = Some(format!(
                        "{} is switched off or blocked (rfkill unblock bluetooth; bluetoothctl power on): {words}",
                        radio.id
                    ));
                }
                Err(failure) => problem = Some(format!("{} does not scan: {}", radio.id, failure.words())),
            }
        }
        self.is_scanning = problem.is_none();
        let silence = self.watchdog.silence(self.clock.monotonic());
        if problem.is_none() && cure == Cure::Complain {
            problem = Some(format!(
                "nothing is heard for {} s, though the scan was restarted and the radio switched off and on",
                silence.as_secs()
            ));
        }
        match problem {
            Some(problem) => tell(self.antenna, Some(problem)),
            // What was complained about ends when something is heard.
            None if self.antenna.problem().is_some_and(|known| known.starts_with("nothing is heard")) => {}
            None => tell(self.antenna, None),
        }
        Ok(())
    }

    /// Switches the radio on if it is off, and scans: every advertisement, also those that repeat.
    async fn scan(&self, radio: &AdapterId) -> Result<(), Failure> {
        let filter = DiscoveryFilter {
            duplicate_data: Some(true),
            transport: Some(Transport::Auto),
            ..DiscoveryFilter::default()
        };
        match call(self.session.start_discovery_on_adapter_with_filter(radio, &filter)).await {
            // A scan of ours that BlueZ has not ended yet.
            Err(Failure::Says(error)) if error.to_string().contains("progress") => Ok(()),
            outcome => outcome,
        }
    }

    async fn rescan(&self, radio: &AdapterId) -> Result<(), Failure> {
        tracing::debug!("Bluetooth: {radio} is silent; its scan is restarted");
        // It may have ended by itself.
        if let Err(Failure::Hangs) = call(self.session.stop_discovery_on_adapter(radio)).await {
            return Err(Failure::Hangs);
        }
        self.scan(radio).await
    }

    async fn power_cycle(&self, radio: &AdapterId) -> Result<(), Failure> {
        tracing::info!("Bluetooth: {radio} is silent; it is switched off and on");
        call(self.session.set_powered(radio, false)).await?;
        sleep(Duration::from_millis(500)).await;
        call(self.session.set_powered(radio, true)).await?;
        self.scan(radio).await
    }

    async fn take(&mut self, event: BluetoothEvent) -> Result<(), Failure> {
        let (id, event) = match event {
            BluetoothEvent::Device { id, event } => (id, event),
            BluetoothEvent::Adapter { id, event } => return self.radio_changed(&id, &event).await,
            BluetoothEvent::Characteristic { .. } => return Ok(()),
        };
        self.heard();
        let text = id.to_string();
        let Some((radio, address)) = split(&text).filter(|(_, address)| self.antenna.is_wanted(*address))
        else {
            return Ok(());
        };
        let is_new = matches!(event, DeviceEvent::Discovered) || !self.snapshots.contains(address);
        let sight = if is_new {
            self.discover(&id, address, event).await?
        } else {
            match event {
                DeviceEvent::Rssi { rssi } => self.snapshots.rssi(address, rssi),
                DeviceEvent::ManufacturerData { manufacturer_data } => {
                    self.snapshots.manufacturer(address, manufacturer_data)
                }
                DeviceEvent::ServiceData { service_data } => {
                    let map = service_data.into_iter().map(|(uuid, data)| (Uuid(uuid.as_u128()), data));
                    self.snapshots.service(address, map.collect())
                }
                DeviceEvent::Services { services } => {
                    let services = services.into_iter().map(|uuid| Uuid(uuid.as_u128()));
                    self.snapshots.services(address, services.collect());
                    None
                }
                _ => None,
            }
        };
        if let Some((fresh, whole)) = sight {
            self.antenna.heard(Heard { radio: radio.into(), fresh, whole });
        }
        Ok(())
    }

    fn heard(&mut self) {
        self.watchdog.heard(self.clock.monotonic());
        if self.antenna.problem().is_some() {
            tell(self.antenna, None);
        }
    }

    /// A device that is not known here: everything about it, which no event says.
    async fn discover(
        &mut self,
        id: &DeviceId,
        address: Address,
        event: DeviceEvent,
    ) -> Result<Option<Sight>, Failure> {
        let device = match call(self.session.get_device_info(id)).await {
            Ok(device) => device,
            // Gone again.
            Err(Failure::Says(_)) => return Ok(None),
            Err(hangs) => return Err(hangs),
        };
        let mut known = snapshot(device);
        Ok(match event {
            DeviceEvent::Discovered => self.snapshots.discovered(address, known),
            DeviceEvent::ManufacturerData { manufacturer_data } => {
                // What of its map is new cannot be known: only a single field cannot be mistaken.
                if manufacturer_data.len() == 1 {
                    known.manufacturer.clear();
                }
                self.snapshots.remember(address, known);
                self.snapshots.manufacturer(address, manufacturer_data)
            }
            DeviceEvent::ServiceData { service_data } => {
                if service_data.len() == 1 {
                    known.service.clear();
                }
                self.snapshots.remember(address, known);
                let map = service_data.into_iter().map(|(uuid, data)| (Uuid(uuid.as_u128()), data));
                self.snapshots.service(address, map.collect())
            }
            DeviceEvent::Rssi { rssi } => {
                self.snapshots.remember(address, known);
                self.snapshots.rssi(address, rssi)
            }
            _ => {
                self.snapshots.remember(address, known);
                None
            }
        })
    }

    /// bluetoothd restarted, or somebody ended the scan: it is begun again.
    async fn radio_changed(&mut self, radio: &AdapterId, event: &AdapterEvent) -> Result<(), Failure> {
        let is_idle = matches!(
            event,
            AdapterEvent::Powered { powered: true } | AdapterEvent::Discovering { discovering: false }
        );
        if is_idle && !self.antenna.pauses().is_asked(&radio.to_string()) {
            // What fails here is seen and said at the next look.
            if let Err(Failure::Hangs) = self.scan(radio).await {
                return Err(Failure::Hangs);
            }
        }
        Ok(())
    }
}

fn snapshot(device: DeviceInfo) -> Snapshot {
    Snapshot {
        // The alias would be a name that the host made up.
        name: device.name,
        services: device.services.into_iter().map(|uuid| Uuid(uuid.as_u128())).collect(),
        rssi: device.rssi,
        tx_power: device.tx_power,
        manufacturer: device.manufacturer_data,
        service: device.service_data.into_iter().map(|(uuid, data)| (Uuid(uuid.as_u128()), data)).collect(),
        ..Snapshot::default()
    }
}

/// `hci0/dev_A4_C1_38_12_34_56`
fn split(id: &str) -> Option<(&str, Address)> {
    let (radio, device) = id.split_once('/')?;
    Some((radio, Address::parse(device.strip_prefix("dev_")?)?))
}

/// Hands on what one radio's stream gives.
async fn forward(
    mut stream: Pin<Box<dyn Stream<Item = BluetoothEvent> + Send>>,
    to: mpsc::Sender<BluetoothEvent>,
) {
    while let Some(event) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
        if to.send(event).await.is_err() {
            return;
        }
    }
}
