//! `tidegate run`: the service, in the foreground, its log on stderr.

use std::io::stderr;
use std::process::ExitCode;

use super::terminal::{colours, complain};
use super::{Configuration, USAGE};
use crate::clock::Clock;
use crate::config::{self, Severity};
use crate::gateway;
use crate::telemetry::{Lines, start_log};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate run --config /etc/tidegate/tidegate.toml
  TIDEGATE_LOG=debug tidegate run --config my.toml --set gateway.id=attic

SIGTERM and Ctrl-C end it cleanly. TIDEGATE_* variables override keys of the file; TIDEGATE_LOG sets what is logged.")]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    start_log(Lines::suitable());
    let configuration = arguments.configuration;
    let loaded = match config::load(&configuration.config, &configuration.overrides()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let shown = problems.render(colours(&stderr()));
            complain(format_args!(
                "the configuration has problems\n\n{shown}{}",
                super::check::summary(&problems)
            ));
            return Ok(ExitCode::from(USAGE));
        }
    };
    for warning in loaded.warnings.list() {
        debug_assert_eq!(warning.severity, Severity::Warning, "errors do not load");
        tracing::warn!(key = warning.key, "{}", warning.message);
    }
    let reread = || match config::load(&configuration.config, &configuration.overrides()) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => Err(super::check::summary(&problems)),
    };
    gateway::run(&loaded.config, Clock::system(), reread)
}
