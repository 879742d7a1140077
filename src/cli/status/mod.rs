//! `tidegate status`: the running gateway on one screen.
//!
//! Asks over the gateway's socket; never looks into its files.

mod screen;

use std::io::{BufRead, BufReader, IsTerminal, stdout};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::FAILED;
use super::terminal::{complain, say};
use crate::config::{self, Overrides};
use crate::telemetry::{Health, SOCKET_NAME, Snapshot, socket_path};

/// What the service's unit file calls its runtime folder.
const SERVICE_FOLDER: &str = "/run/tidegate";
const SERVICE_CONFIGURATION: &str = "/etc/tidegate/tidegate.toml";
/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);
/// Exit code: it works, something needs a look.
const DEGRADED: u8 = FAILED;
/// Exit code: there is none.
const NOT_RUNNING: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate status
  tidegate status --config my.toml --watch
  tidegate status --json | jq .uplinks

Ends with 0 when all is well, 1 when something needs a look, 3 when no gateway runs.")]
pub(super) struct Arguments {
    /// The configuration of the gateway; otherwise the service's, else one started in this folder
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The gateway's socket
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// Prints everything as JSON
    #[arg(long)]
    json: bool,
    /// Looks again every 2 seconds
    #[arg(short, long)]
    watch: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let sockets = arguments.sockets()?;
    loop {
        let code = look(&sockets, arguments)?;
        if !arguments.watch {
            return Ok(code);
        }
        std::thread::sleep(EVERY);
    }
}

impl Arguments {
    /// Where a gateway may serve its status, the likeliest first.
    fn sockets(&self) -> anyhow::Result<Vec<PathBuf>> {
        if let Some(socket) = &self.socket {
            return Ok(vec![socket.clone()]);
        }
        let service = Path::new(SERVICE_FOLDER).join(SOCKET_NAME);
        match &self.config {
            Some(file) => Ok(vec![socket_of(file)?, service]),
            None => {
                let configured = socket_of(Path::new(SERVICE_CONFIGURATION)).ok();
                let here = socket_path(Path::new(config::DEFAULT_DATA_DIR));
                Ok([Some(service), configured, Some(here)].into_iter().flatten().collect())
            }
        }
    }
}

fn socket_of(file: &Path) -> anyhow::Result<PathBuf> {
    match config::load(file, &Overrides::of_process(Vec::new())) {
        Ok(loaded) => Ok(socket_path(&loaded.config.gateway.data_dir)),
        Err(problems) => bail!("{}: {}", file.display(), super::check::summary(&problems)),
    }
}

/// Asks once, and shows the answer.
fn look(sockets: &[PathBuf], arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(stream) = sockets.iter().find_map(|socket| UnixStream::connect(socket).ok()) else {
        let looked: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
        complain(format_args!("no gateway runs; looked for {}", looked.join(", ")));
        return Ok(ExitCode::from(NOT_RUNNING));
    };
    let snapshot = ask(&stream).context("the gateway does not answer")?;
    if arguments.json {
        say(serde_json::to_string(&snapshot)?)?;
    } else {
        let clear = if arguments.watch && stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
        say(format_args!("{clear}{}", screen::render(&snapshot)))?;
    }
    Ok(match snapshot.health {
        Health::Healthy => ExitCode::SUCCESS,
        Health::Degraded => ExitCode::from(DEGRADED),
    })
}

fn ask(stream: &UnixStream) -> anyhow::Result<Snapshot> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
