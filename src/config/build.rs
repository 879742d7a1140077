//! From the checked tree to [`Config`]: every default is filled in here, and nothing is judged any more.

use std::path::PathBuf;
use std::time::Duration;

use super::Folder;
use super::kind;
use super::meaning::{access, listeners};
use super::model::{Ble, Config, Gateway, Journal, Listener, Sensor, Source};
use super::section::Section;
use super::tree::{Node, Table};
use super::uplinks;
use crate::adapter::serial::{Flow, LineOptions};
use crate::device::Options;
use crate::journal::WhenFull;
use crate::limits::Limits;
use crate::net::ListenAddress;
use crate::reading::SensorName;
use crate::stream::AllowedOrigins;

/// Where the journal lies when nobody says anything, in the folder in which the program was started.
pub(crate) const DEFAULT_DATA_DIR: &str = "tidegate-data";
const DEFAULT_COMMIT_INTERVAL_MS: u64 = 1000;
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Builds the configuration from a tree in which no error was found.
pub(super) fn build(root: &Table, folder: &Folder) -> Config {
    let gateway = gateway(&Section::of_root(root, "gateway"), folder);
    let uplink = |section: &Section<'_>| uplinks::uplink(section, &gateway.id, folder);
    Config {
        limits: limits(&Section::of_root(root, "broker"), Limits::default()),
        rights: access::rights(root),
        listeners: all_listeners(root, folder),
        journal: journal(&Section::of_root(root, "journal")),
        sensors: Section::named(root, "sensor")
            .iter()
            .filter_map(|sensor| self::sensor(sensor, folder))
            .collect(),
        uplinks: Section::named(root, "uplink").iter().filter_map(uplink).collect(),
        ble: ble(&Section::of_root(root, "ble")),
        http: Section::of_root(root, "http").text("address").and_then(|text| kind::address(text).ok()),
        gateway,
    }
}

fn gateway(section: &Section<'_>, folder: &Folder) -> Gateway {
    Gateway {
        id: section.text("id").map_or_else(host_name, str::to_owned),
        data_dir: section.path("data_dir", folder.path()).unwrap_or_else(default_data_dir),
        profile_dirs: profile_dirs(section, folder),
        report_interval: Duration::from_secs(section.number("report_interval_seconds").unwrap_or(60)),
    }
}

fn ble(ble: &Section<'_>) -> Ble {
    Ble {
        auto: ble.texts("auto").into_iter().map(|(family, _)| family.to_owned()).collect(),
        connections: ble.number("connections"),
    }
}

/// The folders of `profile_dirs`.
pub(super) fn profile_dirs(gateway: &Section<'_>, folder: &Folder) -> Vec<PathBuf> {
    gateway.texts("profile_dirs").iter().map(|(path, _)| folder.path().join(path)).collect()
}

pub(super) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match kind::name(&name) {
        Ok(()) => name,
        Err(_) => "gateway".to_owned(),
    }
}

/// systemd gives one folder per `StateDirectory=`, separated by colons.
fn default_data_dir() -> PathBuf {
    let state = std::env::var("STATE_DIRECTORY").ok();
    let first = state.as_deref().and_then(|dirs| dirs.split(':').next()).filter(|dir| !dir.is_empty());
    PathBuf::from(first.unwrap_or(DEFAULT_DATA_DIR))
}

/// The bounds that a table says, the others as they are.
fn limits(broker: &Section<'_>, default: Limits) -> Limits {
    let count = |key: &str, default: usize| broker.number(key).unwrap_or(default);
    let bytes = |key: &str, default: usize| {
        broker.size(key).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(default)
    };
    Limits {
        max_packet_bytes: bytes("max_packet_bytes", default.max_packet_bytes),
        max_connect_packet_bytes: bytes("max_connect_packet_bytes", default.max_connect_packet_bytes),
        max_topic_levels: count("max_topic_levels", default.max_topic_levels),
        max_topic_bytes: bytes("max_topic_bytes", default.max_topic_bytes),
        max_user_properties: count("max_user_properties", default.max_user_properties),
        max_queued_messages: count("max_queued_messages", default.max_queued_messages),
        max_queued_bytes: bytes("max_queued_bytes", default.max_queued_bytes),
        receive_maximum: broker.number("receive_maximum").unwrap_or(default.receive_maximum),
        max_connections: count("max_connections", default.max_connections),
        max_connections_per_address: count(
            "max_connections_per_address",
            default.max_connections_per_address,
        ),
        max_connects_per_second: broker
            .number("max_connects_per_second")
            .unwrap_or(default.max_connects_per_second),
        connect_timeout_seconds: broker
            .number("connect_timeout_seconds")
            .unwrap_or(default.connect_timeout_seconds),
        max_sessions: count("max_sessions", default.max_sessions),
        max_subscriptions: count("max_subscriptions", default.max_subscriptions),
        max_retained_messages: count("max_retained_messages", default.max_retained_messages),
        max_retained_bytes: bytes("max_retained_bytes", default.max_retained_bytes),
        topic_alias_maximum: broker.number("topic_alias_maximum").unwrap_or(default.topic_alias_maximum),
        server_keep_alive_seconds: broker
            .number("server_keep_alive_seconds")
            .unwrap_or(default.server_keep_alive_seconds),
        max_session_expiry_seconds: broker
            .number("max_session_expiry_seconds")
            .unwrap_or(default.max_session_expiry_seconds),
        sys_interval_seconds: broker.number("sys_interval_seconds").unwrap_or(default.sys_interval_seconds),
        max_outbox_bytes: bytes("max_outbox_bytes", default.max_outbox_bytes),
    }
}

fn all_listeners(root: &Table, folder: &Folder) -> Vec<Listener> {
    let broker = Section::of_root(root, "broker");
    let sections = Section::all(root.get("listener").map_or(&[][..], Node::elements), "listener");
    let of_broker = limits(&broker, Limits::default());
    if sections.is_empty() {
        return vec![Listener {
            address: ListenAddress::Tcp(listeners::DEFAULT),
            tls: None,
            websocket: None,
            proxy_protocol: false,
            allow_anonymous: broker.switch("allow_anonymous").unwrap_or(true),
            password_file: access::password_file(&broker, &broker, folder),
            limits: of_broker,
        }];
    }
    let listener = |section: &Section<'_>| {
        let address = listeners::address(section, folder)?;
        let origins =
            || section.texts("allowed_origins").iter().map(|(text, _)| (*text).to_owned()).collect();
        let is_websocket = section.text("protocol") == Some("websocket");
        Some(Listener {
            tls: listeners::tls(section, folder),
            websocket: is_websocket.then(|| AllowedOrigins::new(origins())),
            proxy_protocol: section.switch("proxy_protocol").unwrap_or(false),
            allow_anonymous: listeners::anonymous_allowed(section, &broker, &address),
            password_file: access::password_file(section, &broker, folder),
            limits: limits(section, of_broker.clone()),
            address,
        })
    };
    sections.iter().filter_map(listener).collect()
}

fn journal(section: &Section<'_>) -> Journal {
    let commit_interval_ms = section.number("commit_interval_ms").unwrap_or(DEFAULT_COMMIT_INTERVAL_MS);
    Journal {
        commit_interval: Duration::from_millis(commit_interval_ms),
        max_bytes: section.size("max_bytes"),
        max_age: section.duration("max_age").unwrap_or(DEFAULT_MAX_AGE),
        when_full: match section.text("when_full") {
            Some("drop-newest") => WhenFull::DropNewest,
            Some("block") => WhenFull::Block,
            Some("keep-latest") => WhenFull::KeepLatest,
            _ => WhenFull::DropOldest,
        },
    }
}

fn sensor(section: &Section<'_>, folder: &Folder) -> Option<Sensor> {
    let source = if let Some(port) = section.port("serial", folder.path()) {
        let secret = |key| section.text(key).map(|text| folder.secret(text));
        Source::Serial { port, line: line(section), keys: [secret("key"), secret("authentication_key")] }
    } else if let Some(port) = section.port("modbus", folder.path()) {
        Source::Modbus { port, line: line(section), unit: section.number("unit") }
    } else {
        let key = section.text("key").map(|text| folder.secret(text));
        Source::Ble { address: kind::ble_address(section.text("ble")?).ok()?, key }
    };
    Some(Sensor {
        name: SensorName::parse(section.name)?,
        source,
        profile: section.text("profile").map(str::to_owned),
        options: options(section),
    })
}

/// How a sensor's port is opened.
fn line(section: &Section<'_>) -> LineOptions {
    let usual = LineOptions::default();
    LineOptions {
        flow: match section.text("flow") {
            Some("hardware") => Flow::Hardware,
            Some("software") => Flow::Software,
            _ => Flow::None,
        },
        exclusive: section.switch("exclusive").unwrap_or(usual.exclusive),
        dtr: section.switch("dtr"),
        rts: section.switch("rts"),
        rs485: section.switch("rs485").unwrap_or(usual.rs485),
        low_latency: section.switch("low_latency").unwrap_or(usual.low_latency),
    }
}

/// What a sensor says beside its profile.
pub(super) fn options(section: &Section<'_>) -> Options {
    let texts = |key| section.node(key).map(|_| section.texts(key));
    Options {
        baud: section.number("baud"),
        format: section.text("format").map(str::to_owned),
        columns: texts("columns").map(|names| names.into_iter().map(|(name, _)| name.to_owned()).collect()),
        separator: section.text("separator").map(str::to_owned),
        map: section.node("map").map(|_| section.map("map").into_iter().collect()),
        pattern: section.text("pattern").map(str::to_owned),
        eep: section.node("eep").map(|_| section.map("eep").into_iter().collect()),
        interval_ms: section.number("interval_ms"),
        meter: section.text("meter").map(str::to_owned),
        // Secrets are read when the sensor starts.
        key: None,
        authentication_key: None,
    }
}
