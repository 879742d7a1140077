//! Commands that waited at the server while the link was down, and are too old to be carried out.
//!
//! A message of MQTT has no time. So: where a command says its time itself (`ts` in a JSON object, or a user property
//! `ts` of 5.0; RFC 3339, or seconds or milliseconds since 1970), that counts. Where it does not, it counts as old
//! if it comes in the first breath of a connection, before the server has been silent for a second,
//! after the link had been down for longer than it may be old. Before the first connection of a run nobody
//! knows how long it was down: long.

use std::time::Duration;

use jiff::Timestamp;

use crate::mqtt::{Publish, PublishProperties};
use crate::time::{Instant, Moment, TimeQuality};

/// A server hands over what it had kept without pauses longer than this.
const SILENCE: Duration = Duration::from_secs(1);
/// But for no longer than this.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Stale {
    /// When the last connection ended; `None` before the first.
    down_since: Option<Instant>,
    catching_up: Option<CatchingUp>,
}

#[derive(Debug)]
struct CatchingUp {
    /// How long the link was down; `None`: nobody knows.
    gap: Option<Duration>,
    since: Instant,
    heard_at: Instant,
}

impl Stale {
    /// A connection is there. `kept`: the server may have kept messages for us.
    pub(super) fn connected(&mut self, now: Instant, kept: bool) {
        let gap = self.down_since.map(|since| now.since(since));
        self.catching_up = kept.then_some(CatchingUp { gap, since: now, heard_at: now });
    }

    pub(super) fn disconnected(&mut self, now: Instant, was_up: bool) {
        if was_up {
            self.down_since = Some(now);
        }
        self.catching_up = None;
    }

    /// Whether a message that comes now is older than it may be.
    pub(super) fn is_too_old(&mut self, now: &Moment, publish: &Publish, max_age: Option<Duration>) -> bool {
        let gap = self.gap(now.monotonic);
        let Some(max_age) = max_age else { return false };
        if let Some(said) = said_at(publish).filter(|_| now.quality == TimeQuality::Synced) {
            let age = u64::try_from(now.unix_ms.saturating_sub(said)).unwrap_or(0);
            return Duration::from_millis(age) > max_age;
        }
        match gap {
            Some(Some(gap)) => gap > max_age,
            Some(None) => true,
            None => false,
        }
    }

    /// While the server hands over what it kept: how long the link was down.
    fn gap(&mut self, now: Instant) -> Option<Option<Duration>> {
        let over = |catching_up: &mut CatchingUp| {
            now.since(catching_up.heard_at) > SILENCE || now.since(catching_up.since) > LONGEST
        };
        self.catching_up.take_if(over);
        let catching_up = self.catching_up.as_mut()?;
        catching_up.heard_at = now;
        Some(catching_up.gap)
    }
}

/// When a message says that it was made, in milliseconds since 1970.
fn said_at(publish: &Publish) -> Option<i64> {
    let property = publish.properties.as_deref().and_then(property);
    property.or_else(|| {
        let json: serde_json::Value = serde_json::from_slice(&publish.payload).ok()?;
        match json.get("ts")? {
            serde_json::Value::String(text) => in_words(text),
            number => in_milliseconds(number.as_f64()?),
        }
    })
}

fn property(properties: &PublishProperties) -> Option<i64> {
    let found = properties.user_properties.iter().find(|(key, _)| &**key == "ts")?;
    in_words(&found.1)
}

fn in_words(text: &str) -> Option<i64> {
    let number = text.parse().ok().and_then(in_milliseconds);
    number.or_else(|| text.parse::<Timestamp>().ok().map(|at| at.as_millisecond()))
}

/// Seconds and milliseconds since 1970 cannot be taken for one another.
fn in_milliseconds(number: f64) -> Option<i64> {
    let milliseconds = if number < 1e11 { number * 1000.0 } else { number };
    (milliseconds.is_finite() && milliseconds >= 0.0).then(|| format!("{milliseconds:.0}").parse().ok())?
}
