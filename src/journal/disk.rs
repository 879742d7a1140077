//! What the journal asks of a disk: one folder of files, written in place and synced one by one.
//!
//! Implemented by real files (`crate::disk`) and, in tests, by a disk that crashes. Names are plain file names;
//! the journal calls from one thread only.

use std::io;

/// A file in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, without a path.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// How often a read is tried: what fails once may be a passing trouble of the bus.
const READS: usize = 3;

/// Reads, and tries again when that fails.
pub(super) fn read_stubbornly<D: Disk>(
    disk: &mut D,
    name: &str,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut read = disk.read_at(name, offset, buffer);
    for _ in 1..READS {
        if read.is_ok() {
            break;
        }
        read = disk.read_at(name, offset, buffer);
    }
    read
}

/// A folder that belongs to one journal alone.
pub trait Disk {
    /// The files of the folder, in any order; files that are not the journal's may be among them.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&mut self) -> io::Result<Vec<FileEntry>>;

    /// Creates a file of `bytes` zeros that are really allocated, and syncs it and the folder. On an error no
    /// file of that name is left, or one that is not complete: the journal removes it.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there is no room.
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()>;

    /// Reads into `buffer`; less than its length only at the end of the file.
    ///
    /// # Errors
    /// When there is no such file or it cannot be read.
    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` within the length of the file. Durable only after [`Disk::sync_data`].
    ///
    /// # Errors
    /// When any of it could not be written: what the file holds there is then unknown.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written to the file durable.
    ///
    /// # Errors
    /// What was written since the last success may be lost then, and calling again proves nothing.
    fn sync_data(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file; durable at some later time.
    ///
    /// # Errors
    /// When it could not be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, and makes that durable.
    ///
    /// # Errors
    /// When it could not be renamed or that could not be made durable.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
}
