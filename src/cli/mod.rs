//! The commands of the program, one file each.
//!
//! Exit codes: 0 good, 1 failed, 2 bad usage or configuration; `status` adds 3, not running.

mod add;
mod check;
mod decode;
mod demo;
mod journal;
mod mqtt;
mod online;
mod passwd;
mod publish;
mod run;
mod scan;
mod scan_air;
mod status;
mod subscribe;
mod terminal;
mod tunnel;
mod uplink;

use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;

use terminal::complain;

/// Something went wrong that is nobody's usage.
const FAILED: u8 = 1;
/// Bad usage or a bad configuration; clap uses the same.
const USAGE: u8 = 2;

/// An IoT gateway that loses nothing: serial and BLE sensors in, MQTT out, kept on disk in between.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway in the foreground, as a service does
    Run(run::Arguments),
    /// Finds every problem of a configuration file
    Check(check::Arguments),
    /// Shows the whole way of a reading, an outage included, without hardware and configuration
    Demo(demo::Arguments),
    /// Shows serial ports, and the Bluetooth devices in the air
    Scan(scan::Arguments),
    /// Writes one more sensor into the configuration
    Add(add::Arguments),
    /// Decodes captured bytes, one vector per line
    Decode(decode::Arguments),
    /// Shows the running gateway on one screen
    Status(status::Arguments),
    /// Publishes a message
    Pub(publish::Arguments),
    /// Subscribes, and prints what comes
    Sub(subscribe::Arguments),
    /// Looks into a journal that is not in use; changes nothing
    Journal(journal::Arguments),
    /// Makes or changes a user of the embedded broker
    Passwd(passwd::Arguments),
    /// Pauses an uplink, lets it go on, gives up its backlog, shows and replays its dead letters
    Uplink(uplink::Arguments),
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Scan(arguments) => scan::run(&arguments),
        Command::Add(arguments) => add::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Pub(arguments) => publish::run(&arguments),
        Command::Sub(arguments) => subscribe::run(&arguments),
        Command::Journal(arguments) => journal::run(&arguments),
        Command::Passwd(arguments) => passwd::run(&arguments),
        Command::Uplink(arguments) => uplink::run(&arguments),
    };
    match outcome {
        Ok(code) => code,
        // Whoever read the output has seen enough, as `head` has.
        Err(error)
            if error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Which configuration, with which values given outside of it.
#[derive(Debug, Args)]
struct Configuration {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/tidegate/tidegate.toml")]
    config: PathBuf,
    /// Overrides a key of the file, as in --set uplink.cloud.url=mqtt://localhost; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl Configuration {
    fn overrides(&self) -> Overrides {
        Overrides::of_process(self.settings.clone())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_of_each_command_shows_an_example() {
        for command in Arguments::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(
                help.contains("Example:\n  tidegate ") || help.contains("Examples:\n  tidegate "),
                "{help}"
            );
        }
    }
}
