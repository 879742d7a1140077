//! The status over a Unix socket: whoever connects gets the snapshot as one line of JSON.
//!
//! Local only, reads nothing, and shows no secret.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::Snapshot;

/// The name of the socket in its folder.
pub const SOCKET_NAME: &str = "tidegate.sock";
/// Whoever does not read within this wanted no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket of a running gateway; goes with it.
#[derive(Debug)]
pub struct StatusSocket {
    path: PathBuf,
    listener: UnixListener,
}

/// Where a gateway with this data folder serves its status: where systemd wants it, else in the folder.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    let runtime = env::var("RUNTIME_DIRECTORY").ok();
    let first = runtime.as_deref().and_then(|dirs| dirs.split(':').next()).filter(|dir| !dir.is_empty());
    first.map_or(data_dir, Path::new).join(SOCKET_NAME)
}

impl StatusSocket {
    /// Opens the socket. What is in its place was left behind by a gateway that was killed: two gateways cannot
    /// have one journal.
    ///
    /// # Errors
    /// When the folder cannot be written, or its path is too long for a socket.
    pub fn open(path: &Path) -> io::Result<StatusSocket> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let socket = StatusSocket { path: path.to_owned(), listener };
        // There is nothing to hide from other users; who may come this far is the folder's business.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        Ok(socket)
    }

    /// Waits for somebody who wants to know; may be interrupted.
    pub async fn asked(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                // Too many open files: later.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        // One that stays behind is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers, without waiting for the reader.
pub fn answer(mut stream: UnixStream, snapshot: &Snapshot) {
    let Ok(mut line) = serde_json::to_vec(snapshot) else { return };
    line.push(b'\n');
    tokio::spawn(timeout(PATIENCE, async move { stream.write_all(&line).await }));
}
