//! A folder of real files: 0700, its files 0600, locked against a second process.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::journal::{Disk, FileEntry};

/// The lock; holds the process id of its owner, for the message only.
const LOCK_NAME: &str = "lock";
/// Zeros are written this many bytes at a time.
const ZERO_BYTES: usize = 256 * 1024;
const GIB: u64 = 1024 * 1024 * 1024;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileDiskError {
    /// Another process has it.
    #[error("{} is in use by another process{}; two gateways cannot share one journal", folder.display(), owner_text(owner))]
    Locked {
        /// Which folder.
        folder: PathBuf,
        /// The process that holds it, as far as is known.
        owner: Option<u32>,
    },
    /// The folder cannot be made or read.
    #[error("the journal's folder {} cannot be used: {error}", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn owner_text(owner: &Option<u32>) -> String {
    owner.map(|process| format!(" ({process})")).unwrap_or_default()
}

/// A folder of files that belongs to this process alone while the value lives.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    folder_file: File,
    open: HashMap<String, File>,
    /// Held while the value lives; none when it is opened to read only.
    lock: Option<File>,
}

impl FileDisk {
    /// Makes the folder if there is none, and locks it.
    ///
    /// # Errors
    /// When another process has it, or it cannot be used.
    pub fn open(folder: &Path) -> Result<FileDisk, FileDiskError> {
        let failed = |error| FileDiskError::Folder { folder: folder.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let mut lock =
            private().read(true).write(true).create(true).open(folder.join(LOCK_NAME)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FileDiskError::Locked { folder: folder.to_owned(), owner: owner_of(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        sign(&mut lock).map_err(failed)?;
        FileDisk::on(folder, Some(lock)).map_err(failed)
    }

    /// Looks into a folder without locking or changing it; whoever reads does not write.
    ///
    /// # Errors
    /// When there is no such folder, or another process has it.
    pub fn open_to_read(folder: &Path) -> Result<FileDisk, FileDiskError> {
        let failed = |error| FileDiskError::Folder { folder: folder.to_owned(), error };
        if let Ok(mut lock) = OpenOptions::new().read(true).open(folder.join(LOCK_NAME))
            && let Err(TryLockError::WouldBlock) = lock.try_lock_shared()
        {
            return Err(FileDiskError::Locked { folder: folder.to_owned(), owner: owner_of(&mut lock) });
        }
        FileDisk::on(folder, None).map_err(failed)
    }

    fn on(folder: &Path, lock: Option<File>) -> io::Result<FileDisk> {
        let folder_file = File::open(folder)?;
        Ok(FileDisk { folder: folder.to_owned(), folder_file, open: HashMap::new(), lock })
    }

    fn check_may_write(&self) -> io::Result<()> {
        if self.lock.is_some() { Ok(()) } else { Err(io::ErrorKind::ReadOnlyFilesystem.into()) }
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        if !self.open.contains_key(name) {
            let path = self.folder.join(name);
            let file = if self.lock.is_some() {
                OpenOptions::new().read(true).write(true).open(path)?
            } else {
                OpenOptions::new().read(true).open(path)?
            };
            self.open.insert(name.to_owned(), file);
        }
        self.open.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn owner_of(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

impl Disk for FileDisk {
    fn list(&mut self) -> io::Result<Vec<FileEntry>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push(FileEntry { name, bytes: metadata.len() });
            }
        }
        Ok(files)
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.check_may_write()?;
        let path = self.folder.join(name);
        let file = private().read(true).write(true).create_new(true).open(path)?;
        // Finds out early whether there is room. Not every file system can; the zeros find out then.
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        // Unwritten extents would cost a second flush at each commit: really write the zeros.
        let zeros = vec![0; ZERO_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let length = usize::try_from(bytes - offset).unwrap_or(ZERO_BYTES).min(ZERO_BYTES);
            file.write_all_at(zeros.get(..length).unwrap_or(&zeros), offset)?;
            offset += u64::try_from(length).unwrap_or(u64::MAX);
        }
        file.sync_all()?;
        self.folder_file.sync_all()?;
        self.open.insert(name.to_owned(), file);
        Ok(())
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.file(name)?;
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn sync_data(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.check_may_write()?;
        self.open.remove(name);
        std::fs::remove_file(self.folder.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.check_may_write()?;
        self.open.remove(from);
        self.open.remove(to);
        std::fs::rename(self.folder.join(from), self.folder.join(to))?;
        self.folder_file.sync_all()
    }
}

/// The default of `max_bytes` for a journal in `folder`: 1 GiB, or a tenth of what is free if that is less.
///
/// # Errors
/// When the file system cannot be asked.
pub fn default_max_bytes(folder: &Path) -> io::Result<u64> {
    // The folder may not exist yet: its nearest ancestor that does is on the same file system.
    let existing = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let found = rustix::fs::statvfs(existing)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize) / 10).min(GIB))
}
