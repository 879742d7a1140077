//! The metrics in the Prometheus text format (version 0.0.4). The names are a contract.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{BrokerStatus, CommitHistogram, JournalStatus, Snapshot, UplinkStatus};

/// The snapshot as Prometheus reads it.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    sensors(&mut page, snapshot);
    broker(&mut page, &snapshot.broker);
    journal(&mut page, &snapshot.journal);
    uplinks(&mut page, &snapshot.uplinks);
    page.family("tidegate_dropped_total", "counter", "Messages that will not be delivered.");
    for (reason, count) in &snapshot.dropped {
        page.sample("tidegate_dropped_total", &[("reason", reason)], *count);
    }
    page.family("tidegate_refused_total", "counter", "What clients were refused.");
    for (what, reasons) in &snapshot.refused {
        for (reason, count) in reasons {
            page.sample("tidegate_refused_total", &[("what", what), ("reason", reason)], *count);
        }
    }
    page.text
}

fn sensors(page: &mut Page, snapshot: &Snapshot) {
    let sensors = &snapshot.sensors;
    page.family("tidegate_readings_total", "counter", "Readings decoded.");
    for (name, sensor) in sensors {
        page.sample("tidegate_readings_total", &[("sensor", name)], sensor.readings);
    }
    let committed = snapshot.readings_committed;
    page.single("tidegate_readings_committed_total", "counter", "Readings that are on disk.", committed);
    page.family("tidegate_decode_errors_total", "counter", "Frames that could not be decoded.");
    for (name, sensor) in sensors {
        for (kind, count) in &sensor.errors {
            page.sample("tidegate_decode_errors_total", &[("sensor", name), ("kind", kind)], *count);
        }
    }
    page.family("tidegate_sensor_available", "gauge", "Whether the sensor is heard.");
    for (name, sensor) in sensors {
        page.sample("tidegate_sensor_available", &[("sensor", name)], u64::from(sensor.available));
    }
}

fn broker(page: &mut Page, broker: &BrokerStatus) {
    let received = broker.messages_received;
    page.single("tidegate_messages_received_total", "counter", "PUBLISH packets from clients.", received);
    page.single(
        "tidegate_messages_sent_total",
        "counter",
        "PUBLISH packets to clients.",
        broker.messages_sent,
    );
    page.single("tidegate_clients_connected", "gauge", "Connected clients.", broker.clients_connected);
}

fn journal(page: &mut Page, journal: &JournalStatus) {
    let written = journal.written_bytes;
    page.single("tidegate_journal_bytes", "gauge", "Bytes of the journal on disk.", journal.bytes);
    page.histogram("tidegate_journal_commit_seconds", "Duration of commits.", &journal.commits);
    page.single("tidegate_journal_written_bytes_total", "counter", "Bytes written to the journal.", written);
    page.single(
        "tidegate_journal_spared_total",
        "counter",
        "Messages that everybody had before they were written: they never were.",
        journal.spared,
    );
}

fn uplinks(page: &mut Page, uplinks: &BTreeMap<String, UplinkStatus>) {
    page.family("tidegate_uplink_connected", "gauge", "Whether the server upstream has accepted us.");
    for (name, uplink) in uplinks {
        page.sample("tidegate_uplink_connected", &[("uplink", name)], u64::from(uplink.connected));
    }
    page.family("tidegate_uplink_backlog_messages", "gauge", "Messages kept for it and not acknowledged.");
    for (name, uplink) in uplinks {
        page.sample("tidegate_uplink_backlog_messages", &[("uplink", name)], uplink.backlog_messages);
    }
    page.family(
        "tidegate_uplink_backlog_oldest_seconds",
        "gauge",
        "Age of the oldest message of the backlog.",
    );
    for (name, uplink) in uplinks {
        let oldest = uplink.backlog_oldest_seconds;
        page.sample("tidegate_uplink_backlog_oldest_seconds", &[("uplink", name)], oldest);
    }
    page.family("tidegate_uplink_acked_total", "counter", "Messages acknowledged by the server upstream.");
    for (name, uplink) in uplinks {
        page.sample("tidegate_uplink_acked_total", &[("uplink", name)], uplink.acked);
    }
    type Figure = (&'static str, &'static str, &'static str, fn(&UplinkStatus) -> u64);
    let figures: [Figure; 7] = [
        ("attempts_total", "counter", "Attempts to connect.", |uplink| uplink.attempts),
        ("backlog_bytes", "gauge", "Bytes kept for it and not acknowledged.", |uplink| uplink.backlog_bytes),
        ("in_flight", "gauge", "Messages sent and not acknowledged.", |uplink| uplink.in_flight),
        ("possible_duplicates_total", "counter", "Messages that may have arrived twice.", |uplink| {
            uplink.possible_duplicates
        }),
        ("postponed_total", "counter", "Messages refused for now.", |uplink| uplink.postponed),
        ("dead_letters_total", "counter", "Messages laid aside for good.", |uplink| uplink.dead_letters),
        ("received_total", "counter", "Messages that came down.", |uplink| uplink.received),
    ];
    for (figure, kind, help, of) in figures {
        let family = format!("tidegate_uplink_{figure}");
        page.family(&family, kind, help);
        for (name, uplink) in uplinks {
            page.sample(&family, &[("uplink", name)], of(uplink));
        }
    }
    uplinks_pace(page, uplinks);
}

fn uplinks_pace(page: &mut Page, uplinks: &BTreeMap<String, UplinkStatus>) {
    let family = "tidegate_uplink_drain_per_second";
    page.family(family, "gauge", "Messages acknowledged in a second, lately.");
    for (name, uplink) in uplinks {
        page.sample(family, &[("uplink", name)], uplink.drain_per_second);
    }
    let family = "tidegate_uplink_drain_seconds";
    page.family(family, "gauge", "How long until nothing waits, where that can be told.");
    for (name, uplink) in uplinks {
        if let Some(seconds) = uplink.drain_seconds {
            page.sample(family, &[("uplink", name)], seconds);
        }
    }
    let family = "tidegate_uplink_connected_seconds";
    page.family(family, "gauge", "For how long the server upstream has accepted us, while it does.");
    for (name, uplink) in uplinks {
        if let Some(seconds) = uplink.connected_seconds {
            page.sample(family, &[("uplink", name)], seconds);
        }
    }
    let family = "tidegate_uplink_dropped_total";
    page.family(family, "counter", "Messages that will not be delivered to this server.");
    for (name, uplink) in uplinks {
        for (reason, count) in &uplink.dropped {
            page.sample(family, &[("uplink", name), ("reason", reason)], *count);
        }
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        self.line(format_args!("}} {value}"));
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &CommitHistogram) {
        self.family(name, "histogram", help);
        for (bound, count) in &histogram.at_most {
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {}", histogram.count));
        self.line(format_args!("{name}_sum {}", histogram.sum_seconds));
        self.line(format_args!("{name}_count {}", histogram.count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::SensorStatus;

    /// Every name of the contract is there, labels escaped, histogram cumulative.
    #[test]
    fn renders_every_name_of_the_contract() {
        let mut snapshot = Snapshot::default();
        let errors = [("checksum".to_owned(), 2)].into();
        let sensor = SensorStatus { readings: 7, errors, ..SensorStatus::default() };
        snapshot.sensors.insert("a\"ir".to_owned(), sensor);
        snapshot.uplinks.insert("cloud".to_owned(), UplinkStatus { acked: 5, ..UplinkStatus::default() });
        snapshot.dropped.insert("too_old".to_owned(), 3);
        snapshot.refused.insert("publish".to_owned(), [("not_authorized".to_owned(), 4)].into());
        snapshot.journal.commits =
            CommitHistogram { at_most: vec![(0.001, 4), (0.01, 6)], count: 7, sum_seconds: 0.5 };
        let text = render(&snapshot);
        for line in [
            r#"tidegate_readings_total{sensor="a\"ir"} 7"#,
            "tidegate_readings_committed_total 0",
            r#"tidegate_decode_errors_total{sensor="a\"ir",kind="checksum"} 2"#,
            "tidegate_messages_received_total 0",
            "tidegate_messages_sent_total 0",
            "tidegate_clients_connected 0",
            "tidegate_journal_bytes 0",
            r#"tidegate_journal_commit_seconds_bucket{le="0.001"} 4"#,
            r#"tidegate_journal_commit_seconds_bucket{le="0.01"} 6"#,
            r#"tidegate_journal_commit_seconds_bucket{le="+Inf"} 7"#,
            "tidegate_journal_commit_seconds_sum 0.5",
            "tidegate_journal_commit_seconds_count 7",
            "tidegate_journal_written_bytes_total 0",
            "tidegate_journal_spared_total 0",
            r#"tidegate_uplink_connected{uplink="cloud"} 0"#,
            r#"tidegate_uplink_backlog_messages{uplink="cloud"} 0"#,
            r#"tidegate_uplink_backlog_oldest_seconds{uplink="cloud"} 0"#,
            r#"tidegate_uplink_acked_total{uplink="cloud"} 5"#,
            r#"tidegate_dropped_total{reason="too_old"} 3"#,
            r#"tidegate_refused_total{what="publish",reason="not_authorized"} 4"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
