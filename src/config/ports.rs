//! The names of serial ports that last: `/dev/serial/by-id`.

use std::path::{Path, PathBuf};

/// The lasting name of a port, where it has one.
pub(crate) fn by_id(port: &Path) -> Option<PathBuf> {
    by_id_in(Path::new("/dev/serial/by-id"), port)
}

/// The name of a port in a folder of lasting names.
pub(crate) fn by_id_in(folder: &Path, port: &Path) -> Option<PathBuf> {
    let port = port.canonicalize().ok()?;
    let names = std::fs::read_dir(folder).ok()?;
    names.flatten().map(|entry| entry.path()).find(|name| name.canonicalize().ok().as_ref() == Some(&port))
}
