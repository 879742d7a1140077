//! Radios that do not scan for a while, since a connection is being made: many controllers cannot do both at once.
//!
//! Who connects asks and waits until the radio is silent; who scans stops, and begins again when nobody asks any more.
//! Neither can block the other for long: a scanner that does not answer is not waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long the scanner is waited for: it may be looking for its bluetoothd.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which radios are asked to be silent, and which are.
#[derive(Debug, Default)]
pub(super) struct Pauses(watch::Sender<States>);

type States = BTreeMap<Arc<str>, State>;

/// One radio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State {
    asked_by: u32,
    is_silent: bool,
}

/// What the scanner has to do with a radio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    None,
    /// Stop scanning.
    Stop,
    /// Scan again.
    Begin,
}

/// As long as this is kept the radio does not scan.
#[derive(Debug)]
pub(super) struct Paused {
    pauses: Arc<Pauses>,
    radio: Arc<str>,
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.pauses.change(&self.radio, |state| state.asked_by = state.asked_by.saturating_sub(1));
    }
}

impl Pauses {
    /// Asks a radio to be silent, and waits until it is.
    pub(super) async fn pause(self: Arc<Self>, radio: Arc<str>) -> Paused {
        let mut states = self.0.subscribe();
        self.change(&radio, |state| state.asked_by += 1);
        let paused = Paused { pauses: Arc::clone(&self), radio: Arc::clone(&radio) };
        let is_silent = |states: &States| states.get(&radio).is_some_and(|state| state.is_silent);
        // Not silent in time: the connection is tried all the same.
        let _ = timeout(PATIENCE, states.wait_for(is_silent)).await;
        paused
    }

    /// Tells the scanner when something changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<States> {
        self.0.subscribe()
    }

    /// What the scanner has to do now.
    pub(super) fn wish(&self, radio: &str) -> Wish {
        match self.0.borrow().get(radio) {
            Some(State { asked_by: 1.., is_silent: false }) => Wish::Stop,
            Some(State { asked_by: 0, is_silent: true }) => Wish::Begin,
            _ => Wish::None,
        }
    }

    /// Whether the radio is to be silent.
    pub(super) fn is_asked(&self, radio: &str) -> bool {
        self.0.borrow().get(radio).is_some_and(|state| state.asked_by > 0)
    }

    /// The scanner did so.
    pub(super) fn is_silent(&self, radio: &str, is_silent: bool) {
        self.change(&Arc::from(radio), |state| state.is_silent = is_silent);
    }

    fn change(&self, radio: &Arc<str>, change: impl FnOnce(&mut State)) {
        self.0.send_modify(|states| change(states.entry(Arc::clone(radio)).or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_radio_is_silent_while_somebody_connects_and_a_dead_scanner_stops_nobody() {
        let pauses = Arc::new(Pauses::default());
        let hci0: Arc<str> = "hci0".into();
        let asking = tokio::spawn(Arc::clone(&pauses).pause(Arc::clone(&hci0)));
        let mut changes = pauses.subscribe();
        while pauses.wish("hci0") != Wish::Stop {
            changes.changed().await.unwrap();
        }
        pauses.is_silent("hci0", true);
        let first = asking.await.unwrap();
        let second = Arc::clone(&pauses).pause(Arc::clone(&hci0)).await;
        drop(first);
        assert!(pauses.is_asked("hci0") && pauses.wish("hci0") == Wish::None, "another is connecting");
        drop(second);
        assert_eq!(pauses.wish("hci0"), Wish::Begin);
        pauses.is_silent("hci0", false);
        assert_eq!(pauses.wish("hci0"), Wish::None);
        let _unanswered = Arc::clone(&pauses).pause("hci1".into()).await;
        assert!(pauses.is_asked("hci1"));
    }
}
