//! The demo's count: what the sensors say that they sent, against what a client at the cloud saw arrive.
//!
//! Knows nothing of the gateway: its numbers are those that stand in the readings themselves.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::adapter::simulated::Kind;
use crate::cli::mqtt::Arrival;

/// The sensor and the number whose arrival is passed over when one message is to be lost on purpose.
const DROPPED: (&str, u64) = ("weather", 5);

/// What has arrived at the cloud, by sensor and number.
pub(super) struct Tally {
    sensors: BTreeMap<&'static str, Arrived>,
    /// Lose one on purpose, before it is counted.
    drop_one: bool,
    /// States that no sensor of ours could have sent.
    pub(super) strange: u64,
}

struct Arrived {
    kind: Kind,
    /// How many times each number came.
    numbers: BTreeMap<u64, u64>,
    /// Numbers that came for the first time after a higher one.
    late: u64,
}

/// The end of the story.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
}

impl Tally {
    pub(super) fn new(sensors: impl IntoIterator<Item = (&'static str, Kind)>, drop_one: bool) -> Tally {
        let arrived = |(name, kind)| (name, Arrived { kind, numbers: BTreeMap::new(), late: 0 });
        Tally { sensors: sensors.into_iter().map(arrived).collect(), drop_one, strange: 0 }
    }

    /// Notes a message; those that are not states are none of the sensors'.
    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        let Some(name) = state_of(&arrival.topic) else { return };
        let state = serde_json::from_slice::<Value>(&arrival.payload).unwrap_or_default();
        let sensor = self.sensors.iter_mut().find(|(known, _)| **known == name).map(|(_, sensor)| sensor);
        let number = sensor.as_ref().and_then(|sensor| sensor.kind.number(state.as_object()?));
        let (Some(sensor), Some(number)) = (sensor, number) else {
            self.strange += 1;
            return;
        };
        if self.drop_one && (name, number) == DROPPED {
            return;
        }
        let is_late = sensor.numbers.last_key_value().is_some_and(|(highest, _)| number < *highest);
        let times = sensor.numbers.entry(number).or_default();
        if *times == 0 && is_late {
            sensor.late += 1;
        }
        *times += 1;
    }

    /// Different readings that have arrived.
    pub(super) fn delivered(&self) -> u64 {
        self.sensors.values().map(|sensor| count(sensor.numbers.len())).sum()
    }

    /// Compares with how many readings each sensor sent, numbered from 0.
    pub(super) fn score(&self, sent: &[(&'static str, u64)]) -> Score {
        let mut score = Score::default();
        for (name, sent) in sent {
            score.sent += sent;
            let Some(arrived) = self.sensors.get(name) else {
                score.lost += sent;
                continue;
            };
            let delivered = count(arrived.numbers.range(..sent).count());
            score.delivered += delivered;
            score.lost += sent - delivered;
            score.duplicated += arrived.numbers.values().map(|times| times - 1).sum::<u64>();
            score.out_of_order += arrived.late;
        }
        score
    }
}

/// The sensor in `tidegate/GATEWAY/SENSOR/state`.
pub(super) fn state_of(topic: &str) -> Option<&str> {
    let mut levels = topic.split('/');
    match (levels.next(), levels.next(), levels.next(), levels.next(), levels.next()) {
        (Some("tidegate"), Some(_), Some(sensor), Some("state"), None) => Some(sensor),
        _ => None,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENSORS: [(&str, Kind); 1] = [("weather", Kind::JsonLines)];

    fn arrive(tally: &mut Tally, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let payload =
                format!("{{\"temperature\":21.5,\"count\":{number},\"ts\":\"2026-11-23T08:15:02Z\"}}");
            let topic = "tidegate/demo/weather/state".to_owned();
            tally.arrived(&Arrival {
                topic,
                payload: payload.into(),
                qos: 1,
                retain: false,
                duplicate: false,
            });
        }
    }

    #[test]
    fn what_arrived_is_compared_with_what_was_sent() {
        let mut tally = Tally::new(SENSORS, false);
        arrive(&mut tally, [0, 1, 2, 4, 3, 2]);
        assert_eq!(tally.delivered(), 5);
        let expected = Score { sent: 6, delivered: 5, lost: 1, duplicated: 1, out_of_order: 1 };
        assert_eq!(tally.score(&[("weather", 6)]), expected);
    }

    #[test]
    fn one_that_is_dropped_on_purpose_is_lost_even_if_it_comes_twice() {
        let mut tally = Tally::new(SENSORS, true);
        arrive(&mut tally, (0..8).chain(4..8));
        let score = tally.score(&[("weather", 8)]);
        assert_eq!((score.delivered, score.lost, score.duplicated), (7, 1, 3));
    }

    #[test]
    fn other_topics_are_passed_over_and_states_of_nobody_are_strange() {
        let mut tally = Tally::new(SENSORS, false);
        for topic in
            ["tidegate/demo/status", "tidegate/demo/weather/availability", "tidegate/demo/attic/state"]
        {
            let topic = topic.to_owned();
            tally.arrived(&Arrival { topic, payload: "1".into(), qos: 1, retain: false, duplicate: false });
        }
        assert_eq!((tally.delivered(), tally.strange), (0, 1));
    }
}
