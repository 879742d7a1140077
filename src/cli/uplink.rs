//! `tidegate uplink`: pauses an uplink, lets it go on, gives up its backlog, shows and replays its dead letters.
//!
//! Asks the running gateway over its control socket; the dead letters are read from their file.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::terminal::{complain, say};
use super::{Configuration, FAILED};
use crate::config;
use crate::telemetry::{Action, Answer, CONTROL_SOCKET_NAME, Wish, socket_path};
use crate::uplink::DeadLetterFile;

/// How long a gateway may take: a replay has to come to disk.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate uplink cloud pause
  tidegate uplink cloud resume
  tidegate uplink cloud discard --yes
  tidegate uplink cloud dead-letters
  tidegate uplink cloud dead-letters --replay")]
pub(super) struct Arguments {
    /// The uplink, as in [uplink.NAME]
    name: String,
    /// What it is to do
    #[arg(value_enum, value_name = "WHAT")]
    wish: What,
    /// For discard: really
    #[arg(long)]
    yes: bool,
    /// For dead-letters: tries them all once more, as the configuration is now
    #[arg(long)]
    replay: bool,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// Sends nothing for now, also after a restart; everything is kept
    Pause,
    /// Goes on
    Resume,
    /// Gives up everything that waits; it is counted as dropped
    Discard,
    /// Shows what the server will never take, one JSON object a line
    DeadLetters,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let configuration = &arguments.configuration;
    let loaded = match config::load(&configuration.config, &configuration.overrides()) {
        Ok(loaded) => loaded,
        Err(problems) => bail!("{}: {}", configuration.config.display(), super::check::summary(&problems)),
    };
    let data_dir = &loaded.config.gateway.data_dir;
    if !loaded.config.uplinks.iter().any(|uplink| *uplink.name == *arguments.name) {
        let known: Vec<_> = loaded.config.uplinks.iter().map(|uplink| uplink.name.to_string()).collect();
        bail!("there is no uplink {:?} in the configuration; it has: {}", arguments.name, known.join(", "));
    }
    let action = match arguments.wish {
        What::Pause => Action::Pause,
        What::Resume => Action::Resume,
        What::Discard if arguments.yes => Action::Discard,
        What::Discard => {
            bail!("everything that waits for {} would be lost; say --yes if you mean it", arguments.name)
        }
        What::DeadLetters if arguments.replay => Action::Replay,
        What::DeadLetters => return show(data_dir, &arguments.name),
    };
    let answer = ask(data_dir, &Wish { uplink: arguments.name.clone(), action })?;
    if answer.done {
        say(&answer.words)?;
        Ok(ExitCode::SUCCESS)
    } else {
        complain(&answer.words);
        Ok(ExitCode::from(FAILED))
    }
}

fn show(data_dir: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let file = DeadLetterFile::new(data_dir, name);
    let lines = file.lines().with_context(|| file.path().display().to_string())?;
    for line in lines {
        say(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the gateway listens for wishes: where it serves its status.
fn socket(data_dir: &Path) -> Vec<PathBuf> {
    let beside = socket_path(data_dir).with_file_name(CONTROL_SOCKET_NAME);
    vec![beside, Path::new("/run/tidegate").join(CONTROL_SOCKET_NAME)]
}

fn ask(data_dir: &Path, wish: &Wish) -> anyhow::Result<Answer> {
    let sockets = socket(data_dir);
    let mut denied = None;
    for path in &sockets {
        match UnixStream::connect(path) {
            Ok(stream) => return talk(stream, wish).context("the gateway does not answer"),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => denied = Some(path),
            Err(_) => {}
        }
    }
    match denied {
        Some(path) => bail!("{}: only the gateway's own user and root may do this: sudo", path.display()),
        None => bail!("no gateway runs with this configuration"),
    }
}

fn talk(mut stream: UnixStream, wish: &Wish) -> anyhow::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut question = serde_json::to_vec(wish)?;
    question.push(b'\n');
    stream.write_all(&question)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
