//! On which radios connections stand. Such a radio is not switched off because it hears nothing: a device that is
//! connected does not advertise, and in a lonely place nobody else does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections stand on each radio.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<BTreeMap<Arc<str>, usize>>);

/// One connection, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Standing {
    links: Arc<Links>,
    radio: Arc<str>,
}

impl Links {
    /// One more.
    pub(super) fn stand(self: Arc<Self>, radio: Arc<str>) -> Standing {
        *self.counts().entry(Arc::clone(&radio)).or_default() += 1;
        Standing { links: self, radio }
    }

    /// Whether any stands.
    pub(super) fn any_on(&self, radio: &str) -> bool {
        self.counts().get(radio).is_some_and(|count| *count > 0)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        // Whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if let Some(count) = self.links.counts().get_mut(&self.radio) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radio_has_connections_until_the_last_is_gone() {
        let links = Arc::new(Links::default());
        let one = Arc::clone(&links).stand("hci0".into());
        let other = Arc::clone(&links).stand("hci0".into());
        drop(one);
        assert!(links.any_on("hci0") && !links.any_on("hci1"));
        drop(other);
        assert!(!links.any_on("hci0"));
    }
}
