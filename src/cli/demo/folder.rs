//! The demo's folder: everything that it writes, and gone with it.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often removal is tried again while somebody still writes.
const ATTEMPTS: usize = 20;

/// A new folder among the temporary ones, which nobody else may read.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> io::Result<Folder> {
        // A new RandomState has random keys.
        let random = RandomState::new().hash_one(std::process::id());
        let path = std::env::temp_dir().join(format!("tidegate-demo-{random:016x}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The journal's thread may write its last while the demo is interrupted.
        for _ in 0..ATTEMPTS {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    thread::sleep(Duration::from_millis(50));
                }
                _ => return,
            }
        }
        super::complain(format_args!("{} could not be removed", self.0.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_gone_with_its_content() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        fs::create_dir(path.join("inside")).unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
