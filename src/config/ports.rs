//! The names of serial ports that last: `/dev/serial/by-id`.

use std::path::{Path, PathBuf};

const BY_ID: &str = "/dev/serial/by-id";

/// The lasting name of a port, where it has one.
pub(crate) fn by_id(port: &Path) -> Option<PathBuf> {
    let port = port.canonicalize().ok()?;
    let names = std::fs::read_dir(BY_ID).ok()?;
    names.flatten().map(|entry| entry.path()).find(|name| name.canonicalize().ok().as_ref() == Some(&port))
}
