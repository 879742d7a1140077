//! The log on stderr: one line per change, in plain language. Under systemd the journal adds the time.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// How the log's lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// For a person at a terminal, or a file.
    Timed,
    /// For the systemd journal, which knows the time and colours by level itself.
    Bare,
}

impl Lines {
    /// What suits where stderr goes.
    #[must_use]
    pub fn suitable() -> Lines {
        // systemd says by this variable that stderr is connected to its journal.
        if std::env::var_os("JOURNAL_STREAM").is_some() { Lines::Bare } else { Lines::Timed }
    }
}

/// Starts the log. `TIDEGATE_LOG` chooses levels, as `debug` or `info,tidegate::net=trace`.
///
/// The first call counts; later ones change nothing.
pub fn start_log(lines: Lines) {
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    // An error says that there is a log already.
    let _ = match lines {
        Lines::Timed => builder.try_init(),
        Lines::Bare => builder.without_time().try_init(),
    };
}
