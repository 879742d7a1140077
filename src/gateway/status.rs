//! Puts the snapshot together from what each part counts.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use super::Gateway;
use super::listeners::{KeptListener, ListenerState};
use crate::adapter::CountersNow;
use crate::disk::{COMMIT_SECONDS_BUCKETS, Counters};
use crate::durable::{DropReason, JournalHealth};
use crate::journal;
use crate::telemetry::{
    BrokerStatus, ClockStatus, CommitHistogram, Health, JournalStatus, SensorStatus, Snapshot, UplinkStatus,
};
use crate::time::{Moment, TimeQuality};
use crate::uplink::Uplink;

/// A journal that does not answer within this is said to be busy.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn snapshot(gateway: &Gateway) -> Snapshot {
    let now = (gateway.clock)();
    let mut problems = Vec::new();
    let journal = match timeout(PATIENCE, gateway.journal.status()).await {
        Ok(Ok(status)) => status,
        Ok(Err(stopped)) => {
            problems.push(stopped.to_string());
            journal::Status { health: JournalHealth::Dead, ..journal::Status::default() }
        }
        Err(_) => {
            problems.push("the journal is busy and does not answer".to_owned());
            journal::Status::default()
        }
    };
    match journal.health {
        JournalHealth::Accepting => {}
        JournalHealth::Full => problems.push("the journal is full".to_owned()),
        JournalHealth::Dead => problems.push("the disk takes no writes".to_owned()),
    }
    if journal.messages_lost > 0 {
        problems.push(format!("the journal is damaged: {} messages are lost", journal.messages_lost));
    }
    let broker = broker(gateway, &mut problems);
    let uplinks = uplinks(gateway, &journal, now, &mut problems);
    problems.extend(gateway.bluetooth.problem());
    let sensors = sensors(gateway, now, &mut problems);
    let mut dropped = gateway.counters.dropped();
    for sensor in &gateway.sensors {
        *dropped.entry(DropReason::InboxFull.label().to_owned()).or_default() +=
            sensor.counters.now().dropped;
    }
    if gateway.bluetooth.missed() > 0 {
        dropped.insert("advertisements_unread".to_owned(), gateway.bluetooth.missed());
    }
    let counters = gateway.journal.counters();
    for (reason, count) in counters.dropped() {
        *dropped.entry(reason.label().to_owned()).or_default() += count;
    }
    Snapshot {
        gateway: gateway.config.gateway.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: now.monotonic.since(gateway.started_at).as_secs_f64(),
        health: if problems.is_empty() { Health::Healthy } else { Health::Degraded },
        problems,
        clock: ClockStatus { synced: now.quality == TimeQuality::Synced, unix_ms: now.unix_ms },
        broker,
        sensors,
        readings_committed: counters.readings_committed(),
        uplinks,
        journal: JournalStatus {
            health: health_label(journal.health).to_owned(),
            bytes: counters.file_bytes(),
            max_bytes: gateway.journal_max_bytes,
            written_bytes: counters.written_bytes(),
            spared: counters.spared(),
            commits: histogram(counters),
        },
        dropped,
        refused: refused(gateway),
    }
}

/// What the broker refused, and what was refused before it heard of it.
fn refused(gateway: &Gateway) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut refused = gateway.counters.refusals();
    let connections = refused.entry("connect".to_owned()).or_default();
    for (reason, count) in gateway.owner.reception().counters().refused() {
        *connections.entry(reason.label().to_owned()).or_default() += count;
    }
    refused
}

fn broker(gateway: &Gateway, problems: &mut Vec<String>) -> BrokerStatus {
    for state in gateway.listeners.iter().map(KeptListener::state) {
        if let ListenerState::Failing(problem) = state {
            problems.push(problem);
        }
    }
    let counters = gateway.owner.reception().counters();
    BrokerStatus {
        listeners: gateway.open_listeners().map(|bound| bound.to_string()).collect(),
        clients_connected: gateway.counters.clients_connected(),
        connections_refused: counters.connections_refused() + gateway.counters.refused(),
        messages_received: counters.messages_received(),
        messages_sent: counters.messages_sent(),
    }
}

fn uplinks(
    gateway: &Gateway,
    journal: &journal::Status,
    now: Moment,
    problems: &mut Vec<String>,
) -> BTreeMap<String, UplinkStatus> {
    let mut statuses = BTreeMap::new();
    for uplink in &gateway.uplinks {
        let backlogs: Vec<_> = uplink.queues.iter().filter_map(|queue| journal.backlogs.get(queue)).collect();
        let ages = backlogs.iter().filter_map(|backlog| now.since(&backlog.oldest?));
        let oldest = ages.max();
        let mut status = UplinkStatus {
            server: uplink.server.clone(),
            backlog_messages: backlogs.iter().map(|backlog| backlog.messages).sum(),
            backlog_bytes: backlogs.iter().map(|backlog| backlog.bytes).sum(),
            backlog_oldest_seconds: oldest.unwrap_or_default().as_secs_f64(),
            ..UplinkStatus::default()
        };
        match &uplink.running {
            Ok(running) => tell_running(running, now, &mut status),
            Err(problem) => status.problem = Some(problem.clone()),
        }
        let pace = uplink.drain.look(now.monotonic, status.backlog_messages, status.acked);
        (status.drain_per_second, status.drain_seconds) = (pace.per_second, pace.left_seconds);
        if !status.connected {
            let why = status.problem.as_deref().unwrap_or("it has not connected yet");
            problems.push(format!("uplink {}: {why}", uplink.name));
        }
        statuses.insert(uplink.name.to_string(), status);
    }
    statuses
}

fn tell_running(running: &Uplink, now: Moment, status: &mut UplinkStatus) {
    let figures = running.status();
    status.connected = figures.connected_since.is_some();
    let connected_for = figures.connected_since.and_then(|since| now.since(&since));
    status.connected_seconds = connected_for.map(|time| time.as_secs_f64());
    status.connected_to = status.connected.then(|| running.server().to_string());
    status.last_error = figures.last_fault.map(|fault| fault.to_string());
    status.problem = status.last_error.clone().filter(|_| !status.connected);
    status.acked = figures.acknowledged;
    status.attempts = figures.attempts;
    status.paused = figures.paused;
    status.held = figures.held.map(|held| held.to_string());
    status.spent_bytes = (figures.spent.bytes > 0).then_some(figures.spent.bytes);
    status.in_flight = u64::try_from(figures.in_flight).unwrap_or(u64::MAX);
    status.possible_duplicates = figures.possible_duplicates;
    status.postponed = figures.postponed;
    status.dead_letters = figures.dead_letters;
    status.received = figures.received;
    let dropped = figures.dropped.into_iter();
    status.dropped = dropped.map(|(reason, count)| (reason.label().to_owned(), count)).collect();
}

fn sensors(gateway: &Gateway, now: Moment, problems: &mut Vec<String>) -> BTreeMap<String, SensorStatus> {
    let mut statuses = BTreeMap::new();
    for sensor in &gateway.sensors {
        let counted = sensor.counters.now();
        let name = sensor.settings.name.to_string();
        let problem = sensor.problem().map(str::to_owned).or_else(|| counted.trouble.clone());
        if let Some(problem) = &problem {
            problems.push(format!("sensor {name}: {problem}"));
        } else if !counted.online {
            problems.push(format!("sensor {name} is not heard on {}", sensor.place()));
        }
        statuses.insert(name, sensor_status(sensor.place(), counted, problem, now));
    }
    // Nobody asked for these by name: one that leaves is no problem.
    for (name, device) in gateway.bluetooth.found() {
        let counted = device.counters.now();
        let status = sensor_status(device.address.to_string(), counted, None, now);
        statuses.entry(name).or_insert(status);
    }
    statuses
}

fn sensor_status(source: String, counted: CountersNow, problem: Option<String>, now: Moment) -> SensorStatus {
    let errors = counted.problems.into_iter().filter(|(_, count)| *count > 0);
    let age = counted.last_reading_unix_ms.map(|last| now.unix_ms.saturating_sub(last).max(0));
    SensorStatus {
        source,
        available: counted.online,
        readings: counted.readings,
        errors: errors.map(|(kind, count)| (kind.label().to_owned(), count)).collect(),
        age_seconds: age
            .and_then(|ms| u64::try_from(ms).ok())
            .map(|ms| Duration::from_millis(ms).as_secs_f64()),
        problem,
    }
}

fn histogram(counters: &Counters) -> CommitHistogram {
    let commits = counters.commits();
    CommitHistogram {
        at_most: COMMIT_SECONDS_BUCKETS.into_iter().zip(commits.at_most).collect(),
        count: commits.count,
        sum_seconds: commits.sum.as_secs_f64(),
    }
}

const fn health_label(health: JournalHealth) -> &'static str {
    match health {
        JournalHealth::Accepting => "accepting",
        JournalHealth::Full => "full",
        JournalHealth::Dead => "dead",
    }
}
