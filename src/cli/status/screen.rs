//! The screen of `tidegate status`.

use crate::telemetry::{Health, SensorStatus, Snapshot, UplinkStatus};

/// Everything on one screen.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let Snapshot { broker, journal, clock, .. } = snapshot;
    let health = match snapshot.health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
    };
    let mut lines = vec![format!(
        "{} {health}, up {}, tidegate {}",
        snapshot.gateway,
        span(snapshot.uptime_seconds),
        snapshot.version
    )];
    lines.extend(snapshot.problems.iter().map(|problem| format!("  ! {problem}")));
    lines.push(String::new());
    lines.extend(snapshot.sensors.iter().map(|(name, sensor)| describe_sensor(name, sensor)));
    lines.extend(snapshot.uplinks.iter().map(|(name, uplink)| describe_uplink(name, uplink)));
    lines.push(format!(
        "broker   {}: {} clients, {} messages in, {} out, {} refused",
        broker.listeners.join(", "),
        broker.clients_connected,
        broker.messages_received,
        broker.messages_sent,
        broker.connections_refused
    ));
    lines.push(format!(
        "journal  {}, {} of {}, {} written, commits take {}",
        journal.health,
        bytes(journal.bytes),
        bytes(journal.max_bytes),
        bytes(journal.written_bytes),
        average(journal.commits.sum_seconds, journal.commits.count)
    ));
    let dropped: Vec<String> =
        snapshot.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    lines.push(format!(
        "dropped  {}",
        if dropped.is_empty() { "nothing".to_owned() } else { dropped.join(", ") }
    ));
    let refused = snapshot.refused.iter().flat_map(|(what, reasons)| {
        reasons
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(move |(reason, count)| format!("{what} {reason} {count}"))
    });
    let refused: Vec<String> = refused.collect();
    if !refused.is_empty() {
        lines.push(format!("refused  {}", refused.join(", ")));
    }
    lines.push(format!("clock    {}", if clock.synced { "set" } else { "not set yet; readings say so" }));
    lines.join("\n")
}

fn describe_sensor(name: &str, sensor: &SensorStatus) -> String {
    let heard = match sensor.age_seconds {
        Some(age) => format!("{} readings, the last {} ago", sensor.readings, span(age)),
        None => "no reading yet".to_owned(),
    };
    let errors: Vec<String> = sensor.errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let errors = if errors.is_empty() { String::new() } else { format!(", errors: {}", errors.join(", ")) };
    let state = if sensor.available { "online " } else { "offline" };
    let problem = sensor.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
    format!("sensor   {name}: {state} {heard}{errors}, at {}{problem}", sensor.source)
}

fn describe_uplink(name: &str, uplink: &UplinkStatus) -> String {
    let server = uplink.connected_to.as_ref().filter(|server| !server.is_empty()).unwrap_or(&uplink.server);
    let state = match uplink.connected_seconds {
        Some(seconds) => format!("connected to {server} for {}", span(seconds)),
        None if uplink.connected => format!("connected to {server}"),
        None => format!("not connected to {server}"),
    };
    let backlog = match uplink.backlog_messages {
        0 => "nothing waits".to_owned(),
        messages => format!(
            "{messages} messages wait ({}), the oldest for {}",
            bytes(uplink.backlog_bytes),
            span(uplink.backlog_oldest_seconds)
        ),
    };
    let pace = match uplink.drain_seconds {
        Some(seconds) => format!(", {:.0}/s, nothing waits in {}", uplink.drain_per_second, span(seconds)),
        None => String::new(),
    };
    let counts = [
        (uplink.possible_duplicates, "perhaps twice"),
        (uplink.dead_letters, "dead letters"),
        (uplink.dropped.values().sum(), "dropped"),
    ];
    let counts: String = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    let error = uplink.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
    let held = uplink.held.as_ref().map(|held| format!("; {held}")).unwrap_or_default();
    let before = uplink.last_error.as_ref().filter(|_| uplink.connected);
    let before = before.map(|error| format!("; before that: {error}")).unwrap_or_default();
    format!(
        "uplink   {name}: {state}, {} acknowledged{counts}, {backlog}{pace}{held}{error}{before}",
        uplink.acked
    )
}

/// A duration as people say it.
fn span(seconds: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")];
    match UNITS.into_iter().find(|(length, _)| seconds >= 2.0 * length) {
        Some((length, unit)) => format!("{:.0} {unit}", (seconds / length).floor()),
        None => format!("{seconds:.0} s"),
    }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => {
            let tenths = bytes.saturating_mul(10) / size;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

fn average(sum_seconds: f64, count: u64) -> String {
    match u32::try_from(count) {
        Ok(0) => "no time yet".to_owned(),
        Ok(count) => format!("{:.1} ms", sum_seconds / f64::from(count) * 1000.0),
        Err(_) => format!("{sum_seconds:.0} s together"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{BrokerStatus, JournalStatus};

    #[test]
    fn everything_that_needs_a_look_is_on_the_screen() {
        let uplink = UplinkStatus {
            server: "broker.example.com:1883".into(),
            backlog_messages: 3,
            backlog_bytes: 1536,
            backlog_oldest_seconds: 130.0,
            ..UplinkStatus::default()
        };
        let sensor = SensorStatus {
            source: "/dev/ttyUSB0".into(),
            readings: 7,
            age_seconds: Some(4.2),
            available: true,
            ..SensorStatus::default()
        };
        let snapshot = Snapshot {
            gateway: "greenhouse".into(),
            health: Health::Degraded,
            problems: vec!["uplink cloud: connection refused".into()],
            sensors: [("air".to_owned(), sensor)].into(),
            uplinks: [("cloud".to_owned(), uplink)].into(),
            broker: BrokerStatus { listeners: vec!["127.0.0.1:1883".into()], ..BrokerStatus::default() },
            journal: JournalStatus {
                health: "accepting".into(),
                max_bytes: 1 << 30,
                ..JournalStatus::default()
            },
            dropped: [("too_old".to_owned(), 2)].into(),
            refused: [("publish".to_owned(), [("not_authorized".to_owned(), 3)].into())].into(),
            ..Snapshot::default()
        };
        let screen = render(&snapshot);
        for words in [
            "greenhouse degraded",
            "  ! uplink cloud: connection refused",
            "air: online  7 readings, the last 4 s ago, at /dev/ttyUSB0",
            "cloud: not connected to broker.example.com:1883, 0 acknowledged, 3 messages wait (1.5 KiB), the oldest for 2 min",
            "of 1.0 GiB",
            "dropped  too_old 2",
            "refused  publish not_authorized 3",
            "not set yet",
        ] {
            assert!(screen.contains(words), "{words:?} is not in\n{screen}");
        }
    }
}
