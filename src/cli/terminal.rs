//! Talking to the person at the terminal: lines out, secrets in.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Writes one line to stdout.
pub(super) fn say(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes one line to stderr. A closed stderr is no reason to fail.
pub(super) fn complain(message: impl Display) {
    let _ = writeln!(io::stderr().lock(), "tidegate: {message}");
}

/// Whether to write colours to a stream: it is a terminal, and the user has nothing against colours.
pub(super) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks for a secret, which is not shown while it is typed.
pub(super) fn ask_secret(question: &str) -> anyhow::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let shown = tcgetattr(&terminal)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // Before the question: whoever answers quickly is not seen, and not lost.
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    write!(terminal, "{question}")?;
    let mut line = String::new();
    let read = BufReader::new(&terminal).read_line(&mut line);
    tcsetattr(&terminal, OptionalActions::Drain, &shown)?;
    writeln!(terminal)?;
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
