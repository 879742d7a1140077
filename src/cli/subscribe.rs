//! `tidegate sub`: subscribes, and prints what comes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use serde_json::json;
use tokio::time::Instant;

use super::FAILED;
use super::mqtt::{Arrival, ConnectionArguments, Happened, Link, parse_qos};
use super::terminal::{complain, say};
use crate::mqtt::{QoS, TopicFilter};

/// How long saying good-bye may take.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate sub 'tidegate/#' --verbose
  tidegate sub 'tidegate/+/+/state' --count 10 --timeout 60 --format json
  tidegate sub 'alarms/#' --url mqtt://broker.example.com --user me --qos 2

Ends with 1 when --count messages did not come within --timeout.")]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    /// Topic filters
    #[arg(value_name = "FILTER", required_unless_present = "topics")]
    filters: Vec<String>,
    /// A topic filter, as other clients want it; may be repeated
    #[arg(short = 't', long = "topic", value_name = "FILTER")]
    topics: Vec<String>,
    /// Quality of service: 0, 1 or 2
    #[arg(short, long, default_value = "1", value_parser = parse_qos)]
    qos: QoS,
    /// Ends after so many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Ends after so many seconds
    #[arg(short = 'W', long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// How messages are printed
    #[arg(short = 'F', long, value_enum, default_value_t = Format::Payload)]
    format: Format,
    /// Prints the topic before the message; short for --format topic
    #[arg(short, long, conflicts_with = "format")]
    verbose: bool,
    /// Seconds that the server keeps messages while we are away; needs a client identifier of your own
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "client_id")]
    session_expiry: u32,
}

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The message alone
    Payload,
    /// The topic and the message
    Topic,
    /// A JSON object: topic, payload, qos, retain, duplicate
    Json,
    /// The topic and the message in hexadecimal digits
    Hex,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let filters: Vec<String> = arguments.filters.iter().chain(&arguments.topics).cloned().collect();
    for filter in &filters {
        TopicFilter::parse(filter.as_str()).with_context(|| format!("{filter:?}"))?;
    }
    let mut target = arguments.connection.target()?;
    target.session_expiry_seconds = arguments.session_expiry;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut link = Link::start(&target)?;
        let deadline = arguments.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let arrived = print_arrivals(&mut link, arguments, &filters, deadline).await?;
        // Acknowledgements are written first; a server that does not answer is left alone.
        let _ = tokio::time::timeout(GOODBYE_PATIENCE, link.disconnect()).await;
        let missing = arguments.count.is_some_and(|count| arrived < count);
        Ok(if missing { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    })
}

/// Prints what comes until there were enough, or the time is over, or Ctrl-C; how many there were.
async fn print_arrivals(
    link: &mut Link,
    arguments: &Arguments,
    filters: &[String],
    deadline: Option<Instant>,
) -> anyhow::Result<u64> {
    let format = if arguments.verbose { Format::Topic } else { arguments.format };
    let client = link.client();
    let (mut arrived, mut was_connected, mut lost) = (0, false, false);
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    while arguments.count.is_none_or(|count| arrived < count) {
        let happened = tokio::select! {
            happened = link.next() => happened,
            () = over(deadline) => break,
            _ = &mut interrupt => break,
        };
        match happened {
            Ok(Happened::Connected { session_present }) => {
                (was_connected, lost) = (true, false);
                if session_present {
                    complain("the server kept the session");
                }
                client.subscribe(filters, arguments.qos).await?;
            }
            Ok(Happened::Subscribed(answers)) => check_answers(filters, &answers)?,
            Ok(Happened::Arrived(arrival)) => {
                say(format.print(&arrival))?;
                arrived += 1;
            }
            Ok(_) => {}
            // It tries again by itself.
            Err(_) if lost => {}
            Err(error) if was_connected => {
                complain(format_args!("{error:#}; trying again"));
                lost = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(arrived)
}

async fn over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn check_answers(filters: &[String], answers: &[Result<(), String>]) -> anyhow::Result<()> {
    for (filter, answer) in filters.iter().zip(answers) {
        if let Err(reason) = answer {
            bail!("the server refused the subscription to {filter:?}: {reason}");
        }
    }
    ensure!(
        answers.len() == filters.len(),
        "the server answered {} of {} filters",
        answers.len(),
        filters.len()
    );
    Ok(())
}

impl Format {
    fn print(self, arrival: &Arrival) -> String {
        let text = String::from_utf8_lossy(&arrival.payload);
        match self {
            Format::Payload => text.into_owned(),
            Format::Topic => format!("{} {text}", arrival.topic),
            Format::Json => json!({
                "topic": arrival.topic,
                "payload": text,
                "qos": arrival.qos,
                "retain": arrival.retain,
                "duplicate": arrival.duplicate,
            })
            .to_string(),
            Format::Hex => {
                let digits: String = arrival.payload.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{} {digits}", arrival.topic)
            }
        }
    }
}
