//! From the checked tables of uplinks to their values: the part of `build` that is about `[uplink.NAME]`.

use std::time::Duration;

use bytestring::ByteString;

use super::Folder;
use super::kind;
use super::meaning::{DEFAULT_FORWARD, provider};
use super::model::{Payload, Uplink};
use super::section::Section;
use super::server;
use super::tree::{Node, Table, Value};
use crate::bridge::{
    Batch, DayWindow, Durability, Forward, MessageId, Order, Priority, Receive, RetainPolicy, Target,
};
use crate::journal::WhenUsedUp;
use crate::mqtt::{ProtocolVersion, QoS, TopicFilter};

const DEFAULT_KEEP_ALIVE_SECONDS: u16 = 60;
const DEFAULT_BACKLOG_PERCENT: u32 = 50;
const DEFAULT_BATCH: Batch = Batch { messages: 100, bytes: 64 * 1024, linger: Duration::from_secs(60) };

pub(super) fn uplink(section: &Section<'_>, gateway_id: &str, folder: &Folder) -> Option<Uplink> {
    let names = Names::of(section, gateway_id);
    let provider = provider(section);
    Some(Uplink {
        name: ByteString::from(section.name),
        server: server::server(section, folder)?,
        version: match section.text("version") {
            Some("3.1.1") => ProtocolVersion::V3_1_1,
            None if provider.is_some_and(|provider| !provider.speaks_5) => ProtocolVersion::V3_1_1,
            _ => ProtocolVersion::V5,
        },
        username: section.text("username").map(str::to_owned),
        password: section.text("password").map(|text| folder.secret(text)),
        keep_alive_seconds: section.number("keep_alive_seconds").unwrap_or(DEFAULT_KEEP_ALIVE_SECONDS),
        forward: names.forward(section),
        receive: names.receive(section),
        order: match section.text("order") {
            Some("live-first") => Order::LiveFirst {
                backlog_percent: section.number("backlog_percent").unwrap_or(DEFAULT_BACKLOG_PERCENT),
            },
            _ => Order::Fifo,
        },
        max_bytes: section.size("max_bytes"),
        max_age: section.duration("max_age"),
        when_full: match section.text("when_full") {
            Some("drop-newest") => WhenUsedUp::DropNewest,
            _ => WhenUsedUp::DropOldest,
        },
        durability: match section.text("durability") {
            Some("either") => Durability::Either,
            _ => Durability::Disk,
        },
        message_id: match section.text("message_id") {
            Some("off") => MessageId::Off,
            Some("field") => MessageId::Field,
            _ => MessageId::Property,
        },
        rate: section.text("rate").and_then(|text| kind::rate(text).ok()),
        window: section.number("window"),
        payload: match section.text("payload") {
            Some("json") => Payload::Json,
            Some("senml") => Payload::SenMl,
            Some("thingsboard") => Payload::ThingsBoard,
            _ if provider.is_some_and(|provider| provider.name == "thingsboard") => Payload::ThingsBoard,
            _ => Payload::Json,
        },
        daily_budget: section.size("daily_budget"),
        windows: windows(section),
        provider,
        shared_access_key: section.text("shared_access_key").map(|text| folder.secret(text)),
        client_id: ByteString::from(names.client_id),
    })
}

fn windows(section: &Section<'_>) -> Vec<DayWindow> {
    let texts = section.texts("windows").into_iter();
    texts.filter_map(|(text, _)| DayWindow::parse(text).ok()).collect()
}

/// The names that may stand in topics.
pub(super) struct Names<'a> {
    pub(super) gateway: &'a str,
    pub(super) client_id: &'a str,
}

impl<'a> Names<'a> {
    /// Those of one uplink.
    pub(super) fn of(section: &Section<'a>, gateway: &'a str) -> Names<'a> {
        Names { gateway, client_id: section.text("client_id").unwrap_or(gateway) }
    }

    /// What goes up.
    pub(super) fn forward(&self, section: &Section<'_>) -> Vec<Forward> {
        match section.node("forward") {
            Some(node) => node.elements().iter().filter_map(|node| self.forward_line(node)).collect(),
            None => self.filter(DEFAULT_FORWARD).map(Forward::new).into_iter().collect(),
        }
    }

    /// What comes down.
    pub(super) fn receive(&self, section: &Section<'_>) -> Vec<Receive> {
        let nodes = section.node("receive").map_or(&[][..], Node::elements);
        nodes.iter().filter_map(|node| self.receive_line(node)).collect()
    }

    fn filter(&self, text: &str) -> Option<TopicFilter> {
        TopicFilter::parse(kind::with_names(text, self.gateway, self.client_id)).ok()
    }

    fn target(&self, table: &Table) -> Option<Target> {
        match table.get("to") {
            Some(node) => {
                Target::parse(&kind::with_names(node.as_text()?, self.gateway, self.client_id)).ok()
            }
            None => Some(Target::Same),
        }
    }

    /// One line of `forward`: a filter, or a table.
    pub(super) fn forward_line(&self, node: &Node) -> Option<Forward> {
        let table = match &node.value {
            Value::Text(text) => return self.filter(text).map(Forward::new),
            Value::Table(table) => table,
            _ => return None,
        };
        let text = |key: &str| table.get(key).and_then(Node::as_text);
        let rule = Forward::new(self.filter(text("filter")?)?);
        Some(Forward {
            to: self.target(table)?,
            maximum_qos: quality(table)?,
            retain: match text("retain") {
                Some("always") => RetainPolicy::Always,
                Some("never") => RetainPolicy::Never,
                _ => RetainPolicy::Keep,
            },
            priority: match text("priority") {
                Some("alarm") => Priority::Alarm,
                Some("bulk") => Priority::Bulk,
                _ => Priority::Normal,
            },
            rate: text("rate").and_then(|text| kind::rate(text).ok()),
            batch: table.get("batch").and_then(Node::as_table).map(batch),
            ..rule
        })
    }

    /// One line of `receive`: a filter, or a table.
    pub(super) fn receive_line(&self, node: &Node) -> Option<Receive> {
        let table = match &node.value {
            Value::Text(text) => return self.filter(text).map(Receive::new),
            Value::Table(table) => table,
            _ => return None,
        };
        let max_age = table.get("max_age").and_then(Node::as_text);
        Some(Receive {
            to: self.target(table)?,
            maximum_qos: quality(table)?,
            max_age: max_age.and_then(|text| kind::duration(text).ok()),
            ..Receive::new(self.filter(table.get("filter")?.as_text()?)?)
        })
    }
}

/// QoS 1 unless the table says something else; `None`: what it says is none.
fn quality(table: &Table) -> Option<QoS> {
    match table.get("qos").map(|node| &node.value) {
        Some(Value::Integer(number)) => u8::try_from(*number).ok().and_then(QoS::from_u8),
        _ => Some(QoS::AtLeastOnce),
    }
}

fn batch(table: &Table) -> Batch {
    let number = |key: &str| match table.get(key).map(|node| &node.value) {
        Some(Value::Integer(number)) => usize::try_from(*number).ok(),
        Some(Value::Text(text)) => kind::size(text).ok().and_then(|bytes| usize::try_from(bytes).ok()),
        _ => None,
    };
    let linger = table.get("linger").and_then(Node::as_text).and_then(|text| kind::duration(text).ok());
    Batch {
        messages: number("messages").unwrap_or(DEFAULT_BATCH.messages),
        bytes: number("bytes").unwrap_or(DEFAULT_BATCH.bytes),
        linger: linger.unwrap_or(DEFAULT_BATCH.linger),
    }
}
