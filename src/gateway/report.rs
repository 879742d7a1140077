//! Looks at the gateway now and then, and tells: its figures as `tidegate/<id>/info` and `tidegate/<id>/metrics`, here
//! and upstream, so that a thousand can be watched; its uplinks below `$SYS`; backlogs in the log.
//!
//! Nothing of it is written to disk, and nothing of it goes through a backlog.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::Gateway;
use crate::mqtt::TopicName;
use crate::telemetry::{Snapshot, UplinkStatus};
use crate::time::Instant;

/// A backlog of fewer messages is everyday.
const WORTH_A_LINE: u64 = 1000;
/// How often one that drains is spoken of.
const SPEAK_EVERY: Duration = Duration::from_secs(60);

/// What was told already.
#[derive(Default)]
pub(super) struct Reporter {
    reported_at: Option<Instant>,
    info: Option<Bytes>,
    said: BTreeMap<String, String>,
    backlogs: BTreeMap<String, Backlog>,
}

/// The backlog of one uplink, as far as it was spoken of.
#[derive(Default)]
struct Backlog {
    most: u64,
    spoken_at: Option<Instant>,
}

impl Reporter {
    /// Looks once.
    pub(super) async fn look(&mut self, gateway: &Gateway) {
        let snapshot = gateway.snapshot().await;
        let now = (gateway.clock)().monotonic;
        for (name, uplink) in &snapshot.uplinks {
            if let Some(line) = self.backlogs.entry(name.clone()).or_default().line(now, uplink) {
                tracing::info!("uplink {name}: {line}");
            }
        }
        self.note(gateway);
        self.tell_sys(gateway, &snapshot).await;
        self.report(gateway, &snapshot, now).await;
    }

    /// Notes what a next run must know.
    pub(super) fn note(&self, gateway: &Gateway) {
        for uplink in &gateway.uplinks {
            uplink.note_spent(&gateway.config.gateway.data_dir);
        }
    }

    async fn tell_sys(&mut self, gateway: &Gateway, snapshot: &Snapshot) {
        if gateway.config.limits.sys_interval_seconds == 0 {
            return;
        }
        for (name, uplink) in &snapshot.uplinks {
            for (topic, text) in sys(name, uplink) {
                if self.said.get(&topic) == Some(&text) {
                    continue;
                }
                let Ok(parsed) = TopicName::parse(topic.clone()) else { continue };
                if gateway.presence.tell(parsed, Bytes::from(text.clone()), true).await.is_err() {
                    return;
                }
                self.said.insert(topic, text);
            }
        }
    }

    async fn report(&mut self, gateway: &Gateway, snapshot: &Snapshot, now: Instant) {
        let every = gateway.config.gateway.report_interval;
        let due = self.reported_at.is_none_or(|at| now.since(at) >= every);
        if every.is_zero() || !due {
            return;
        }
        self.reported_at = Some(now);
        let info = Bytes::from(info(snapshot).to_string());
        let is_new = self.info.replace(info.clone()) != Some(info.clone());
        let metrics = Bytes::from(metrics(snapshot).to_string());
        for (name, payload, wanted) in [("info", info, is_new), ("metrics", metrics, true)] {
            if let Ok(topic) = TopicName::parse(format!("tidegate/{}/{name}", snapshot.gateway))
                && wanted
            {
                // The broker may have stopped: then nobody is there to be told.
                let _ = gateway.presence.report(topic, payload).await;
            }
        }
    }
}

impl Backlog {
    /// What is worth a line in the log.
    fn line(&mut self, now: Instant, uplink: &UplinkStatus) -> Option<String> {
        let waiting = uplink.backlog_messages;
        let most = self.most.max(waiting);
        if waiting == 0 {
            let spoken = std::mem::take(self);
            return (spoken.most >= WORTH_A_LINE)
                .then(|| "the backlog has drained, nothing waits".to_owned());
        }
        self.most = most;
        let quiet = self.spoken_at.is_some_and(|at| now.since(at) < SPEAK_EVERY);
        if waiting < WORTH_A_LINE || quiet {
            return None;
        }
        self.spoken_at = Some(now);
        let oldest = uplink.backlog_oldest_seconds;
        let pace = match uplink.drain_seconds {
            Some(left) => {
                format!(", {:.0} a second go, nothing waits in {left:.0} s", uplink.drain_per_second)
            }
            None => String::new(),
        };
        Some(format!("{waiting} messages wait, the oldest for {oldest:.0} s{pace}"))
    }
}

/// By the name that mosquitto has for its bridges, and more.
fn sys(name: &str, uplink: &UplinkStatus) -> Vec<(String, String)> {
    let below = |rest: &str| format!("$SYS/broker/uplink/{name}/{rest}");
    let mut all = vec![
        (format!("$SYS/broker/connection/{name}/state"), u8::from(uplink.connected).to_string()),
        (below("backlog/messages"), uplink.backlog_messages.to_string()),
        (below("backlog/bytes"), uplink.backlog_bytes.to_string()),
        (below("backlog/oldest"), format!("{:.0} seconds", uplink.backlog_oldest_seconds)),
        (below("messages/acknowledged"), uplink.acked.to_string()),
        (below("drain/messages per second"), format!("{:.0}", uplink.drain_per_second)),
    ];
    let dropped: u64 = uplink.dropped.values().sum();
    all.push((below("messages/dropped"), dropped.to_string()));
    all.extend(
        uplink
            .dropped
            .iter()
            .map(|(why, count)| (below(&format!("messages/dropped/{why}")), count.to_string())),
    );
    all.push((below("messages/possible duplicates"), uplink.possible_duplicates.to_string()));
    all.push((below("error"), uplink.last_error.clone().unwrap_or_else(|| "none".to_owned())));
    let connected = uplink.connected_seconds.unwrap_or_default();
    all.push((below("connected"), format!("{connected:.0} seconds")));
    let left = uplink.drain_seconds.map_or_else(|| "unknown".to_owned(), |left| format!("{left:.0} seconds"));
    all.push((below("drain/left"), left));
    all
}

/// What seldom changes.
fn info(snapshot: &Snapshot) -> Json {
    json!({
        "version": snapshot.version,
        "sensors": snapshot.sensors.keys().collect::<Vec<_>>(),
        "uplinks": snapshot.uplinks.iter().map(|(name, uplink)| (name.clone(), json!(uplink.server))).collect::<Map<_, _>>(),
    })
}

/// What changes all the time.
fn metrics(snapshot: &Snapshot) -> Json {
    let uplink = |uplink: &UplinkStatus| {
        json!({
            "connected": uplink.connected,
            "backlog": uplink.backlog_messages,
            "oldest_seconds": uplink.backlog_oldest_seconds.round(),
            "acked": uplink.acked,
            "possible_duplicates": uplink.possible_duplicates,
        })
    };
    let uplinks = snapshot.uplinks.iter().map(|(name, status)| (name.clone(), uplink(status)));
    let dropped = snapshot.dropped.iter().filter(|(_, count)| **count > 0);
    json!({
        "health": snapshot.health,
        "problems": snapshot.problems,
        "uptime_seconds": snapshot.uptime_seconds.round(),
        "clock_synced": snapshot.clock.synced,
        "clients": snapshot.broker.clients_connected,
        "messages_received": snapshot.broker.messages_received,
        "messages_sent": snapshot.broker.messages_sent,
        "readings": snapshot.readings_committed,
        "sensors_available": snapshot.sensors.values().filter(|sensor| sensor.available).count(),
        "sensors": snapshot.sensors.len(),
        "journal_bytes": snapshot.journal.bytes,
        "dropped": dropped.map(|(reason, count)| (reason.clone(), json!(count))).collect::<Map<_, _>>(),
        "uplinks": uplinks.collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_spoken_of_once_a_minute_and_when_it_is_gone() {
        let mut backlog = Backlog::default();
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let waiting = |messages| UplinkStatus { backlog_messages: messages, ..UplinkStatus::default() };
        assert_eq!(backlog.line(at(1), &waiting(10)), None);
        assert!(backlog.line(at(2), &waiting(5000)).unwrap().starts_with("5000 messages wait"));
        assert_eq!(backlog.line(at(30), &waiting(4000)), None);
        assert!(backlog.line(at(70), &waiting(2000)).is_some());
        assert!(backlog.line(at(80), &waiting(0)).unwrap().contains("has drained"));
        assert_eq!(backlog.line(at(90), &waiting(0)), None);
    }
}
