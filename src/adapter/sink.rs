//! Hands readings to the broker, in batches, and never waits for it: a port must be read on.
//!
//! When the broker's inbox has no room, readings are dropped, the newest, and counted; presence waits its turn.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Counters;
use crate::broker::Relay;
use crate::durable::{Message, Urgency};
use crate::net::{Publication, Source};

/// A bounded way to the broker, or to whoever stands in for it.
pub trait Outlet: Send {
    /// Hands messages over, in order, if there is room now.
    ///
    /// # Errors
    /// The messages, when there is no room.
    fn try_publish(&self, publications: Vec<Publication>) -> Result<(), Vec<Publication>>;
}

impl Outlet for Source {
    fn try_publish(&self, publications: Vec<Publication>) -> Result<(), Vec<Publication>> {
        Source::try_publish(self, publications)
    }
}

impl Outlet for mpsc::Sender<Vec<Publication>> {
    fn try_publish(&self, publications: Vec<Publication>) -> Result<(), Vec<Publication>> {
        self.try_send(publications).map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// Where the readings of one port go.
pub struct Sink {
    outlet: Box<dyn Outlet>,
    counters: Arc<Counters>,
    batch: Vec<Publication>,
    others: Vec<Publication>,
    /// Presence that found no room yet: the latest only.
    presence: Option<Message>,
    next_token: u64,
}

impl Sink {
    /// A sink into the broker, counted by `counters`.
    #[must_use]
    pub fn new(outlet: impl Outlet + 'static, counters: Arc<Counters>) -> Sink {
        Sink {
            outlet: Box::new(outlet),
            counters,
            batch: Vec::new(),
            others: Vec::new(),
            presence: None,
            next_token: 0,
        }
    }

    /// What this sink counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes a reading; [`Sink::flush`] hands it over.
    pub fn reading(&mut self, message: Message) {
        let publication = self.publication(message, Relay::All);
        self.batch.push(publication);
    }

    /// Takes a message that is no reading: what became of a command. [`Sink::flush`] hands it over.
    pub fn other(&mut self, message: Message) {
        let publication = self.publication(message, Relay::None);
        self.others.push(publication);
    }

    /// Takes the sensor's presence; [`Sink::flush`] hands it over, before the readings.
    pub fn presence(&mut self, message: Message) {
        self.presence = Some(message);
    }

    /// Whether presence waits for room: [`Sink::flush`] should be tried again soon.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.presence.is_some()
    }

    /// Hands over what was taken.
    pub fn flush(&mut self) {
        if let Some(presence) = self.presence.take() {
            let publication = self.publication(presence, Relay::None);
            if let Err(refused) = self.outlet.try_publish(vec![publication]) {
                self.presence = refused.into_iter().next().map(|publication| publication.message);
            }
        }
        if !self.others.is_empty() {
            // A full inbox loses them: whoever waits for one asks again.
            let _ = self.outlet.try_publish(std::mem::take(&mut self.others));
        }
        if self.batch.is_empty() {
            return;
        }
        let count = u64::try_from(self.batch.len()).unwrap_or(0);
        let last_unix_ms = self.batch.last().map_or(0, |last| last.message.accepted_at.unix_ms);
        match self.outlet.try_publish(std::mem::take(&mut self.batch)) {
            Ok(()) => self.counters.handed_over(count, last_unix_ms),
            Err(_) => self.counters.dropped(count),
        }
    }

    fn publication(&mut self, message: Message, relay: Relay) -> Publication {
        self.next_token = self.next_token.wrapping_add(1);
        Publication { token: self.next_token, message, relay, urgency: Urgency::Lingers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::SensorName;
    use crate::route::SensorTopics;
    use crate::time::Moment;

    #[test]
    fn a_full_inbox_drops_the_newest_readings_counts_them_and_keeps_presence() {
        let (sender, mut inbox) = mpsc::channel(1);
        let mut sink = Sink::new(sender, Arc::new(Counters::default()));
        let topics = SensorTopics::new("g", &SensorName::parse("s").unwrap()).unwrap();
        let message = |online| topics.availability_of(online, Moment::default());
        sink.reading(message(true));
        sink.reading(message(true));
        sink.flush();
        sink.reading(message(true));
        sink.presence(message(true));
        sink.presence(message(false));
        sink.flush();
        let now = sink.counters().now();
        assert_eq!((now.readings, now.dropped, sink.is_waiting()), (2, 1, true));
        assert_eq!(inbox.try_recv().unwrap().len(), 2);
        sink.flush();
        assert!(!sink.is_waiting());
        let presence = inbox.try_recv().unwrap();
        assert!(
            presence[0].relay == Relay::None && presence[0].message == message(false),
            "the latest presence only"
        );
        assert!(inbox.try_recv().is_err());
    }
}
