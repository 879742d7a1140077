//! Carries out what a person wants of an uplink.

use std::fs;
use std::path::PathBuf;

use super::Gateway;
use super::uplinks::KeptUplink;
use crate::broker::Relay;
use crate::durable::{Message, MessageBody, Urgency};
use crate::net::Publication;
use crate::telemetry::{Action, Answer, Wish};
use crate::uplink::{Command, DeadLetterFile};

/// Dead letters that are tried once more at once: the broker answers for each.
const REPLAYED_AT_ONCE: usize = 256;

pub(super) async fn carry_out(gateway: &Gateway, wish: &Wish) -> Answer {
    let Some(uplink) = gateway.uplinks.iter().find(|uplink| *uplink.name == *wish.uplink) else {
        return refused(format!("there is no uplink {}", wish.uplink));
    };
    let outcome = match wish.action {
        Action::Pause => pause(gateway, uplink).await,
        Action::Resume => resume(gateway, uplink).await,
        Action::Discard => discard(gateway, uplink).await,
        Action::Replay => replay(gateway, uplink).await,
    };
    match outcome {
        Ok(words) => {
            tracing::info!("uplink {}: {words}", uplink.name);
            Answer { done: true, words }
        }
        Err(words) => refused(words),
    }
}

fn refused(words: String) -> Answer {
    Answer { done: false, words }
}

/// The file that says that an uplink is paused, also after a restart.
pub(super) fn pause_note(gateway_folder: &std::path::Path, uplink: &str) -> PathBuf {
    gateway_folder.join(format!("{uplink}.paused"))
}

async fn command(uplink: &KeptUplink, command: Command) -> Result<(), String> {
    let running = uplink.running.as_ref().map_err(Clone::clone)?;
    if running.command(command).await { Ok(()) } else { Err("the uplink has ended".to_owned()) }
}

async fn pause(gateway: &Gateway, uplink: &KeptUplink) -> Result<String, String> {
    let note = pause_note(&gateway.config.gateway.data_dir, &uplink.name);
    fs::write(&note, b"").map_err(|error| format!("{}: {error}", note.display()))?;
    command(uplink, Command::Pause).await?;
    Ok("paused; everything is kept".to_owned())
}

async fn resume(gateway: &Gateway, uplink: &KeptUplink) -> Result<String, String> {
    let note = pause_note(&gateway.config.gateway.data_dir, &uplink.name);
    match fs::remove_file(&note) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", note.display()));
        }
        _ => {}
    }
    command(uplink, Command::Resume).await?;
    Ok("goes on".to_owned())
}

async fn discard(gateway: &Gateway, uplink: &KeptUplink) -> Result<String, String> {
    let status = gateway.journal.status().await.map_err(|stopped| stopped.to_string())?;
    let waiting = uplink.queues.iter().filter_map(|queue| status.backlogs.get(queue));
    let messages: u64 = waiting.map(|backlog| backlog.messages).sum();
    command(uplink, Command::Discard).await?;
    Ok(format!("{messages} messages waited; they are given up, but for those that are under way"))
}

/// Publishes every dead letter once more, for this uplink alone; they are forgotten when all are on disk.
async fn replay(gateway: &Gateway, uplink: &KeptUplink) -> Result<String, String> {
    let file = DeadLetterFile::new(&gateway.config.gateway.data_dir, &uplink.name);
    // What is refused again meanwhile is laid aside anew, beside these.
    let file = file.set_aside().map_err(|error| error.to_string())?;
    let (messages, unreadable) = file.messages().map_err(|error| error.to_string())?;
    let first = uplink.queues.first().copied().ok_or("the uplink has no queue")?;
    let count = messages.len();
    let entrance = gateway.owner.entrance();
    let (source, mut acceptances) = entrance.source().await.map_err(|stopped| stopped.to_string())?;
    for some in messages.chunks(REPLAYED_AT_ONCE) {
        let publication = |replayed: &crate::uplink::Replayed| Publication {
            token: 0,
            message: Message {
                topic: replayed.topic.clone(),
                qos: replayed.qos,
                retain: replayed.retain,
                accepted_at: (gateway.clock)(),
                body: MessageBody::Publish { payload: replayed.payload.clone(), properties: None },
            },
            relay: Relay::Only(first),
            urgency: Urgency::Awaited,
        };
        let publications = some.iter().map(publication).collect();
        source.publish(publications).await.map_err(|stopped| stopped.to_string())?;
        for _ in some {
            let answer = acceptances.next().await.ok_or("the broker has stopped")?;
            answer.outcome.map_err(|reason| format!("not kept: {}", reason.label()))?;
        }
    }
    file.clear().map_err(|error| error.to_string())?;
    let rest = if unreadable > 0 { format!("; {unreadable} lines could not be read") } else { String::new() };
    Ok(format!("{count} dead letters are tried once more{rest}"))
}
