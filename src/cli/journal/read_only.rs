//! A disk that is looked at and not changed.

use std::io;

use crate::journal::{Disk, FileEntry};

/// Reads from another disk and refuses to write. Renaming only seems to succeed: a journal gives unreadable files
/// another name when it is opened, and needs nothing of them any more.
#[derive(Debug)]
pub(super) struct ReadOnly<D>(pub(super) D);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl<D: Disk> Disk for ReadOnly<D> {
    fn list(&mut self) -> io::Result<Vec<FileEntry>> {
        self.0.list()
    }

    fn create(&mut self, _name: &str, _bytes: u64) -> io::Result<()> {
        refused()
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(name, offset, buffer)
    }

    fn write_at(&mut self, _name: &str, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        refused()
    }

    fn sync_data(&mut self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&mut self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn rename(&mut self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }
}
