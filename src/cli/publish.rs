//! `tidegate pub`: publishes messages, and says so when the server has not taken them.

use std::io::{BufRead, IsTerminal, Read, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::FAILED;
use super::mqtt::{Client, ConnectionArguments, Happened, Link, parse_qos};
use super::terminal::complain;
use crate::mqtt::{QoS, TopicName};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pub greeting -m hello
  tidegate pub tidegate/greenhouse/valve/set -m '{\"open\": true}' --qos 2
  tidegate pub site/name -m 'North hall' --retain
  sensors | tidegate pub raw/lines --lines

Ends with 0 when the server has acknowledged every message (at QoS 0: when they are written).")]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    /// The topic
    #[arg(value_name = "TOPIC", required_unless_present = "topic_option")]
    topic: Option<String>,
    /// The topic, as other clients want it
    #[arg(short = 't', long = "topic", value_name = "TOPIC", conflicts_with = "topic", id = "topic_option")]
    topic_option: Option<String>,
    /// The message; otherwise it is read from stdin
    #[arg(short, long, conflicts_with_all = ["file", "lines"])]
    message: Option<String>,
    /// The file with the message
    #[arg(short, long, conflicts_with = "lines")]
    file: Option<PathBuf>,
    /// Publishes each line of stdin as a message of its own
    #[arg(short, long)]
    lines: bool,
    /// Quality of service: 0, 1 or 2
    #[arg(short, long, default_value = "1", value_parser = parse_qos)]
    qos: QoS,
    /// Asks the server to keep the message for later subscribers
    #[arg(short, long)]
    retain: bool,
    /// Seconds after which it gives up
    #[arg(short = 'W', long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let topic =
        arguments.topic.as_ref().or(arguments.topic_option.as_ref()).context("the topic is missing")?;
    let topic = TopicName::parse(topic.as_str()).with_context(|| format!("{topic:?}"))?;
    let target = arguments.connection.target()?;
    let messages = Messages::of(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let refused = runtime.block_on(async {
        let mut link = Link::start(&target)?;
        let feeder = tokio::spawn(feed(link.client(), topic, arguments.qos, arguments.retain, messages));
        let patience = Duration::from_secs(arguments.timeout);
        publish_all(&mut link, feeder, arguments.qos, patience).await
    })?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The messages to publish, one after the other.
enum Messages {
    One(Option<Bytes>),
    Lines(tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>),
}

impl Messages {
    fn of(arguments: &Arguments) -> anyhow::Result<Messages> {
        if arguments.lines {
            return Ok(Messages::Lines(lines()));
        }
        let message = if let Some(message) = &arguments.message {
            message.clone().into_bytes()
        } else if let Some(file) = &arguments.file {
            std::fs::read(file).with_context(|| file.display().to_string())?
        } else {
            ensure!(
                !stdin().is_terminal(),
                "what shall be published? --message, --file, or something on stdin"
            );
            let mut message = Vec::new();
            stdin().lock().read_to_end(&mut message)?;
            message
        };
        Ok(Messages::One(Some(message.into())))
    }

    async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Messages::One(message) => Ok(message.take()),
            Messages::Lines(lines) => Ok(lines.recv().await.transpose()?),
        }
    }
}

/// The lines of stdin, read by a thread of their own, which waits while there are too many.
fn lines() -> tokio::sync::mpsc::Receiver<std::io::Result<Bytes>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in stdin().lock().split(b'\n') {
            if sender.blocking_send(line.map(Bytes::from)).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Hands all messages to the connection; how many there were.
async fn feed(
    client: Client,
    topic: TopicName,
    qos: QoS,
    retain: bool,
    mut messages: Messages,
) -> anyhow::Result<usize> {
    let mut count = 0;
    while let Some(payload) = messages.next().await? {
        client.publish(topic.as_str(), qos, retain, payload).await?;
        count += 1;
    }
    Ok(count)
}

/// Drives the connection until the server has taken everything; how many messages it refused.
async fn publish_all(
    link: &mut Link,
    mut feeder: JoinHandle<anyhow::Result<usize>>,
    qos: QoS,
    patience: Duration,
) -> anyhow::Result<usize> {
    let (mut connected, mut ended, mut refused) = (false, 0, 0);
    let mut total = None;
    while !connected || total != Some(ended) {
        tokio::select! {
            count = &mut feeder, if total.is_none() => total = Some(count??),
            happened = link.next() => match happened? {
                Happened::Connected { .. } => connected = true,
                Happened::Sent if qos == QoS::AtMostOnce => ended += 1,
                Happened::Acknowledged(answer) => {
                    ended += 1;
                    if let Err(reason) = answer {
                        complain(format_args!("the server refused the message: {reason}"));
                        refused += 1;
                    }
                }
                _ => {}
            },
            () = tokio::time::sleep(patience), if !connected || total.is_some() => {
                bail!("no answer within {} s", patience.as_secs());
            }
        }
    }
    link.disconnect().await?;
    Ok(refused)
}
