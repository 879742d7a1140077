//! Who listens to which address: what a radio hears goes to the task that waits for it, and to nobody else.
//!
//! Never waits for a listener: what one does not take in time is dropped and counted. Addresses that nobody listens
//! to cost nothing, however many there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::links::{Links, Standing};
use super::pauses::{Paused, Pauses};

use crate::device::ble::{Address, Advertisement};
use crate::limits;

/// Hears advertisements.
pub trait AdvertSource: Send + 'static {
    /// Tells `antenna` what it hears, until it is dropped or there is nothing more to hear.
    fn listen(self, antenna: Arc<Antenna>) -> impl Future<Output = ()> + Send;
}

/// One advertisement, as one radio heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Which radio: `hci0`.
    pub radio: Arc<str>,
    /// What is new in it, or repeated: true now.
    pub fresh: Advertisement,
    /// The same with what else is known of the device, for formats that spread over several fields.
    pub whole: Advertisement,
}

type Ear = mpsc::Sender<Arc<Heard>>;

/// Where everybody listens.
#[derive(Debug, Default)]
pub struct Antenna {
    ears: Mutex<Ears>,
    /// What is wrong with the radios; `None`: nothing.
    problem: Mutex<Option<String>>,
    missed: AtomicU64,
    pauses: Arc<Pauses>,
    links: Arc<Links>,
    /// How often bluetoothd has begun anew, or could not be reached.
    restarts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ears {
    by_address: HashMap<Address, Ear>,
    /// Takes what nobody else does.
    others: Option<Ear>,
}

impl Antenna {
    /// Listens to one device; whoever listened to it before does not any more.
    #[must_use]
    pub fn tune(&self, address: Address) -> mpsc::Receiver<Arc<Heard>> {
        let (ear, heard) = mpsc::channel(limits::BLE_UNREAD);
        locked(&self.ears).by_address.insert(address, ear);
        heard
    }

    /// Listens to every device that nobody listens to by its address.
    #[must_use]
    pub fn tune_to_others(&self) -> mpsc::Receiver<Arc<Heard>> {
        let (ear, heard) = mpsc::channel(limits::BLE_UNREAD);
        locked(&self.ears).others = Some(ear);
        heard
    }

    /// Whether anybody would take what this device says.
    #[must_use]
    pub fn is_wanted(&self, address: Address) -> bool {
        let ears = locked(&self.ears);
        ears.others.as_ref().is_some_and(|ear| !ear.is_closed())
            || ears.by_address.get(&address).is_some_and(|ear| !ear.is_closed())
    }

    /// Whether anybody listens at all.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let mut ears = locked(&self.ears);
        ears.by_address.retain(|_, ear| !ear.is_closed());
        !ears.by_address.is_empty() || ears.others.as_ref().is_some_and(|ear| !ear.is_closed())
    }

    /// bluetoothd is another one: it may know that a device is connected, and not that it was to notify.
    pub(super) fn restarted(&self) {
        self.restarts.send_modify(|restarts| *restarts += 1);
    }

    /// Tells from now on when bluetoothd has begun anew.
    pub(super) fn restarts(&self) -> watch::Receiver<u64> {
        self.restarts.subscribe()
    }

    /// Radios that are asked to be silent.
    pub(super) fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Asks a radio not to scan as long as the answer is kept; waits until it does not.
    pub(super) async fn pause(&self, radio: Arc<str>) -> Paused {
        Arc::clone(&self.pauses).pause(radio).await
    }

    /// A connection stands on a radio as long as the answer is kept.
    pub(super) fn stand(&self, radio: Arc<str>) -> Standing {
        Arc::clone(&self.links).stand(radio)
    }

    /// Radios on which connections stand.
    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// Something was heard.
    pub fn heard(&self, heard: Heard) {
        let ear = {
            let ears = locked(&self.ears);
            let own = ears.by_address.get(&heard.fresh.address).filter(|ear| !ear.is_closed());
            own.or(ears.others.as_ref()).cloned()
        };
        if ear.is_some_and(|ear| ear.try_send(Arc::new(heard)).is_err()) {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    /// Says what is wrong with the radios, or that nothing is. Tells whether that is news.
    pub fn report(&self, problem: Option<String>) -> bool {
        let mut known = locked(&self.problem);
        let is_news = *known != problem;
        *known = problem;
        is_news
    }

    /// What is wrong with the radios, while somebody listens.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        locked(&self.problem).clone().filter(|_| self.is_in_use())
    }

    /// Advertisements that were not taken in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }
}

/// What is behind the lock is whole between any two statements: a panic elsewhere spoils nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(last: u8) -> Heard {
        let address = Address([0, 0, 0, 0, 0, last]);
        let fresh = Advertisement { address, ..Advertisement::default() };
        Heard { radio: "hci0".into(), whole: fresh.clone(), fresh }
    }

    #[test]
    fn each_hears_its_own_device_and_nobody_waits() {
        let antenna = Antenna::default();
        let mut one = antenna.tune(Address([0, 0, 0, 0, 0, 1]));
        antenna.heard(heard(1));
        antenna.heard(heard(2));
        assert_eq!(one.try_recv().unwrap().fresh.address.0[5], 1);
        assert!(one.try_recv().is_err());
        for _ in 0..=limits::BLE_UNREAD {
            antenna.heard(heard(1));
        }
        assert_eq!(antenna.missed(), 1);
        let mut others = antenna.tune_to_others();
        antenna.heard(heard(2));
        assert_eq!(others.try_recv().unwrap().fresh.address.0[5], 2);
        drop((one, others));
        assert!(!antenna.is_in_use() && !antenna.is_wanted(Address([0, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn a_problem_is_news_once() {
        let antenna = Antenna::default();
        let _ear = antenna.tune(Address::default());
        assert!(antenna.report(Some("gone".into())) && !antenna.report(Some("gone".into())));
        assert_eq!(antenna.problem().as_deref(), Some("gone"));
        assert!(antenna.report(None) && antenna.problem().is_none());
    }
}
