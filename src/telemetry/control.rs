//! What a person may want of a running gateway: `tidegate uplink NAME ...`, over a socket of its own.
//!
//! One line of JSON asks, one answers. Unlike the status, it changes something: only the gateway's own user and root
//! may use it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// The name of the socket in its folder.
pub const CONTROL_SOCKET_NAME: &str = "tidegate-control.sock";
/// Bytes of a question.
const QUESTION_BYTES: u64 = 4096;
/// Whoever does not ask within this wanted nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted of one uplink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// `[uplink.NAME]`
    pub uplink: String,
    /// What.
    pub action: Action,
}

/// What an uplink is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Send nothing for now.
    Pause,
    /// Go on.
    Resume,
    /// Give up what waits.
    Discard,
    /// Try once more what the server refused.
    Replay,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub done: bool,
    /// In words.
    pub words: String,
}

/// The socket of a running gateway; goes with it.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Opens the socket, in place of one that was left behind.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(path: &Path) -> io::Result<ControlSocket> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let socket = ControlSocket { path: path.to_owned(), listener };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    /// Waits for somebody who wants something; may be interrupted. `None`: it made no sense.
    pub async fn asked(&self) -> Option<(Wish, UnixStream)> {
        let (stream, _) = self.listener.accept().await.ok()?;
        let mut reader = BufReader::new(stream).take(QUESTION_BYTES);
        let mut line = String::new();
        timeout(PATIENCE, reader.read_line(&mut line)).await.ok()?.ok()?;
        let wish = serde_json::from_str(&line).ok()?;
        Some((wish, reader.into_inner().into_inner()))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // One that stays behind is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers, without waiting for the reader.
pub fn tell(mut stream: UnixStream, answer: &Answer) {
    let Ok(mut line) = serde_json::to_vec(answer) else { return };
    line.push(b'\n');
    tokio::spawn(timeout(PATIENCE, async move { stream.write_all(&line).await }));
}
