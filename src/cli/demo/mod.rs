//! `tidegate demo`: the whole way of a reading, an outage of the cloud included, without hardware and configuration.
//!
//! Simulated sensors write real bytes to real pseudo-terminals; the real gateway reads, decodes, serves, keeps and
//! forwards them to a second broker that plays the cloud. A client there, which is not ours, sees what arrives; it is
//! compared with what the sensors sent. What the gateway counts itself is shown, and never enters the result.

mod cloud;
mod folder;
mod screen;
mod stage;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::terminal::{complain, say};
use super::{FAILED, USAGE};
use folder::Folder;
use stage::Stage;

/// How a shell calls a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// How long the sensors run before the cloud goes away and, at least, after it came back.
const LEAD_SECONDS: u64 = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate demo
  tidegate demo --outage 10 --duration 30

Ends with 0 only if every reading that a sensor sent has arrived at the cloud.")]
pub(super) struct Arguments {
    /// Seconds that the cloud is away; 0: it stays
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    outage: u64,
    /// Seconds that the sensors run; otherwise 20 more than the outage takes
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
}

/// What happens when, from the start of the sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Script {
    /// From when to when the cloud is away.
    outage: Option<(Duration, Duration)>,
    /// When the sensors stop.
    end: Duration,
}

impl Arguments {
    fn script(&self) -> Result<Script, String> {
        let duration = self.duration.unwrap_or_else(|| self.outage.saturating_add(20));
        if duration == 0 {
            return Err("--duration must be longer than nothing".to_owned());
        }
        let end = Duration::from_secs(duration);
        if self.outage == 0 {
            return Ok(Script { outage: None, end });
        }
        let Some(rest) = duration.checked_sub(self.outage).filter(|rest| *rest >= 2 * LEAD_SECONDS) else {
            let least = self.outage.saturating_add(2 * LEAD_SECONDS);
            return Err(format!("with --outage {}, --duration must be at least {least}", self.outage));
        };
        let from = Duration::from_secs(rest / 2);
        Ok(Script { outage: Some((from, from + Duration::from_secs(self.outage))), end })
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let script = match arguments.script() {
        Ok(script) => script,
        Err(problem) => {
            complain(problem);
            return Ok(ExitCode::from(USAGE));
        }
    };
    if std::env::var_os("TIDEGATE_LOG").is_some() {
        crate::telemetry::start_log(crate::telemetry::Lines::suitable());
    }
    let folder = Folder::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(perform(&folder, script));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(folder);
    outcome
}

/// Plays the script, or as much of it as the user wants to see; then everything is taken down in order.
async fn perform(folder: &Folder, script: Script) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut stage = Stage::new(folder.path());
    let score = tokio::select! {
        score = stage.play(script) => Some(score),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    stage.clear().await;
    let Some(score) = score else {
        complain("interrupted");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let score = score?;
    say(screen::verdict(&score))?;
    Ok(if score.lost == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(outage: u64, duration: Option<u64>) -> Result<Script, String> {
        Arguments { outage, duration }.script()
    }

    #[test]
    fn the_outage_lies_within_the_run() {
        let seconds = Duration::from_secs;
        let expected = Script { outage: Some((seconds(10), seconds(20))), end: seconds(30) };
        assert_eq!(script(10, Some(30)), Ok(expected));
        assert_eq!(script(10, None), Ok(expected));
        assert_eq!(script(0, Some(1)), Ok(Script { outage: None, end: seconds(1) }));
        assert!(script(10, Some(12)).is_err_and(|problem| problem.contains("at least 16")));
        assert!(script(u64::MAX, None).is_err());
    }
}
