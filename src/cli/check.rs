//! `tidegate check`: every problem of a configuration file at once.

use std::io::stdout;
use std::process::ExitCode;

use super::terminal::{colours, say};
use super::{Configuration, USAGE, online};
use crate::config::{self, Problems, Severity};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate check --config /etc/tidegate/tidegate.toml
  tidegate check --config my.toml --online
  tidegate check --config my.toml --json | jq -r '.[].message'")]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Prints an array of {line, column, severity, message, help, key}
    #[arg(long)]
    json: bool,
    /// Also tries ports, permissions, names, and the login of each uplink
    #[arg(long)]
    online: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let configuration = &arguments.configuration;
    let problems = match config::load(&configuration.config, &configuration.overrides()) {
        Ok(loaded) => {
            let found = if arguments.online { online::check(&loaded)? } else { Vec::new() };
            let mut problems = loaded.warnings;
            problems.extend(found);
            problems
        }
        Err(problems) => problems,
    };
    if arguments.json {
        say(format_args!("{:#}", problems.to_json()))?;
    } else {
        let shown = problems.render(colours(&stdout()));
        say(format_args!("{shown}{}: {}", configuration.config.display(), summary(&problems)))?;
    }
    Ok(if problems.has_errors() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS })
}

/// How many problems there are, in words.
pub(super) fn summary(problems: &Problems) -> String {
    let count = |severity, one: &str, many: &str| match problems.count(severity) {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let errors = count(Severity::Error, "error", "errors");
    let warnings = count(Severity::Warning, "warning", "warnings");
    match (problems.count(Severity::Error), problems.count(Severity::Warning)) {
        (0, 0) => "good".to_owned(),
        (0, _) => format!("good, with {warnings}"),
        (_, 0) => errors,
        _ => format!("{errors}, {warnings}"),
    }
}
