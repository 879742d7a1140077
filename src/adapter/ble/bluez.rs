//! The radios of this machine through BlueZ on the system's D-Bus.
//!
//! Uses bluez-async, the engine under btleplug, itself: it says what changed without asking the bus again for every
//! event, and it can switch a radio off and on. Everything here may vanish at any time: the bus, bluetoothd, a radio.
//! Each is noticed within some seconds, told once and awaited; a call that hangs is given up.

use std::collections::BTreeMap;
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
use super::bus::{OwnRuntime, owners};
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
/// How long a new bluetoothd takes to find out which devices the kernel has kept connected: who asks it before that to
/// end such a connection is not understood, and the device stays connected, unheard.
const SETTLE: Duration = Duration::from_secs(5);
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
        let mut watchdogs = Watchdogs::new();
        loop {
            let (why, wait) = match listen_once(&antenna, &self.clock, &mut watchdogs).await {
                Ok(why) => (why, RETRY),
                Err(why) => (format!("no D-Bus, so no Bluetooth: {why}"), RETRY_BUS),
            };
            tell(&antenna, Some(why));
            sleep(wait).await;
        }
    }
}

/// By the names of the radios. They outlive the radios: one that once heard something, vanished and came back deaf is
/// not taken for one in a silent place.
type Watchdogs = BTreeMap<String, Watchdog>;

/// Listens over one connection to the bus; comes back with the reason when it ends.
async fn listen_once(antenna: &Antenna, clock: &Clock, watchdogs: &mut Watchdogs) -> Result<String, String> {
    let own = OwnRuntime::new().map_err(|error| error.to_string())?;
    let connected = own.connect(BluetoothSession::new()).await.map_err(|error| error.to_string())?;
    let (lost, session) = connected.map_err(|error| error.to_string())?;
    let owners = own.connect(owners("org.bluez")).await.map_err(|error| error.to_string())?;
    let mut owners = owners.map_err(|error| error.to_string())?;
    let restarts = async {
        while owners.changed().await.is_ok() {
            sleep(SETTLE).await;
            antenna.restarted();
        }
    };
    Ok(tokio::select! {
        why = listen_on(&session, antenna, clock, watchdogs) => why,
        _ = lost => "the connection to D-Bus was lost".to_owned(),
        () = restarts => "the connection to D-Bus was lost".to_owned(),
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
async fn listen_on(
    session: &BluetoothSession,
    antenna: &Antenna,
    clock: &Clock,
    watchdogs: &mut Watchdogs,
) -> String {
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
                    watchdogs,
                    problems: BTreeMap::new(),
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
    watchdogs: &'a mut Watchdogs,
    /// What is wrong, by radio.
    problems: BTreeMap<String, String>,
}

impl Round<'_> {
    async fn listen(&mut self, radios: &[AdapterInfo]) -> Failed {
        // Its tasks end with it.
        let mut streams = JoinSet::new();
        let (sender, mut events) = mpsc::channel(limits::BLE_UNREAD);
        for radio in radios {
            let now = self.clock.monotonic();
            let watchdog = self.watchdogs.entry(radio.id.to_string()).or_insert_with(|| Watchdog::new(now));
            watchdog.begin(now);
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
            let now = self.clock.monotonic();
            let watchdog = self.watchdogs.entry(name.clone()).or_insert_with(|| Watchdog::new(now));
            let outcome = match self.antenna.pauses().wish(&name) {
                Wish::None => continue,
                Wish::Stop => {
                    watchdog.pause(now);
                    // It may not be scanning.
                    call(self.session.stop_discovery_on_adapter(&radio.id)).await
                }
                Wish::Begin => {
                    watchdog.resume(now);
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
        for radio in &now {
            let name = radio.id.to_string();
            match self.see_to(radio, &name).await {
                Ok(Some(problem)) => drop(self.problems.insert(name, problem)),
                // What was complained about ends when something is heard.
                Ok(None) if self.watchdogs.get(&name).is_some_and(Watchdog::is_deaf) => {}
                Ok(None) => drop(self.problems.remove(&name)),
                Err(Failure::Hangs) => return Err(Failure::Hangs.into()),
                Err(failure) => {
                    let words = failure.words();
                    let problem = if radio.powered {
                        format!("{name} does not scan: {words}")
                    } else {
                        format!(
                            "{name} is switched off or blocked (rfkill unblock bluetooth; bluetoothctl power on): {words}"
                        )
                    };
                    self.problems.insert(name, problem);
                }
            }
        }
        self.tell();
        Ok(())
    }

    /// Does what one radio needs to hear something, and tells when nothing of it helps.
    async fn see_to(&mut self, radio: &AdapterInfo, name: &str) -> Result<Option<String>, Failure> {
        if self.antenna.pauses().is_asked(name) {
            return Ok(None);
        }
        let now = self.clock.monotonic();
        let has_connections = self.antenna.links().any_on(name);
        let watchdog = self.watchdogs.entry(name.to_owned()).or_insert_with(|| Watchdog::new(now));
        let (cure, silence) = (watchdog.cure(now, has_connections), watchdog.silence(now));
        match cure {
            _ if !radio.powered || !radio.discovering => self.scan(&radio.id).await?,
            Cure::Wait => {}
            Cure::Restart | Cure::Complain => self.rescan(&radio.id).await?,
            Cure::PowerCycle => self.power_cycle(&radio.id).await?,
        }
        Ok((cure == Cure::Complain).then(|| {
            let seconds = silence.as_secs();
            format!(
                "nothing is heard for {seconds} s on {name}, though its scan was restarted and it was switched off and on"
            )
        }))
    }

    /// Says what is wrong with the radios.
    fn tell(&self) {
        let problems: Vec<&str> = self.problems.values().map(String::as_str).collect();
        tell(self.antenna, (!problems.is_empty()).then(|| problems.join("; ")));
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
        let text = id.to_string();
        let Some((radio, address)) = split(&text) else { return Ok(()) };
        self.heard(radio);
        if !self.antenna.is_wanted(address) {
            return Ok(());
        }
        let is_new = matches!(event, DeviceEvent::Discovered) || !self.snapshots.contains(address);
        if !is_new && self.snapshots.asks_for_name(address, self.clock.monotonic()) {
            match call(self.session.get_device_info(&id)).await {
                Ok(device) => self.snapshots.name(address, device.name),
                // Gone again.
                Err(Failure::Says(_)) => {}
                Err(hangs) => return Err(hangs),
            }
        }
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

    /// A radio heard something: nothing is wrong with it.
    fn heard(&mut self, radio: &str) {
        if let Some(watchdog) = self.watchdogs.get_mut(radio) {
            watchdog.heard(self.clock.monotonic());
        }
        if self.problems.remove(radio).is_some() {
            self.tell();
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
