//! Everything that is owed, as JSON lines.

use serde_json::{Value, json};

use super::read_only::ReadOnly;
use crate::cli::terminal::say;
use crate::disk::FileDisk;
use crate::durable::{ConsumerId, LoadedDelivery, MessageBody};
use crate::journal::{Journal, Recovery};
use crate::reading::Render;
use crate::route::Json;

/// Prints what is owed to each consumer, in the order in which it was accepted.
pub(super) fn export(journal: &mut Journal<ReadOnly<FileDisk>>, recovery: &Recovery) -> anyhow::Result<()> {
    for consumer in recovery.queued.keys() {
        let whose = name(recovery, *consumer);
        super::each_owed(journal, recovery, *consumer, |delivery| {
            Ok(say(line(&whose, delivery, recovery))?)
        })?;
    }
    Ok(())
}

fn name(recovery: &Recovery, consumer: ConsumerId) -> String {
    let state = &recovery.state;
    if let Some(uplink) = state.uplinks.get(&consumer) {
        return format!("uplink {}", uplink.name);
    }
    match state.sessions.get(&consumer) {
        Some(session) => format!("session {}", session.client_id),
        None => format!("consumer {}", consumer.0),
    }
}

fn line(whose: &str, delivery: &LoadedDelivery, recovery: &Recovery) -> Value {
    let message = &delivery.message;
    let boots = &recovery.state.boots;
    let payload = match &message.body {
        MessageBody::Publish { payload, .. } => payload.clone(),
        MessageBody::Reading(reading) => Json.render(reading, boots),
    };
    let (key, payload) = match std::str::from_utf8(&payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_hex", payload.iter().map(|byte| format!("{byte:02x}")).collect()),
    };
    let (accepted_unix_ms, _) = boots.unix_ms(&message.accepted_at);
    json!({
        "for": whose,
        "sequence": delivery.sequence.0,
        "topic": message.topic.as_str(),
        "qos": delivery.delivery.qos.as_u8(),
        "retain": delivery.delivery.retain,
        "accepted_unix_ms": accepted_unix_ms,
        (key): payload,
    })
}
