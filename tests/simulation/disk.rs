//! The gateway's disk: the one that crashes, or one with a bug planted in it.

use std::io;

use tidegate::journal::{Disk, FileEntry};

use crate::crash_disk::{CrashDisk, Tear};
use crate::plan::PlantedBug;

/// A handle to the disk; clones share it.
#[derive(Debug, Clone)]
pub struct PlantedDisk {
    disk: CrashDisk,
    ignores_sync: bool,
}

impl PlantedDisk {
    pub fn new(seed: u64, bug: Option<PlantedBug>) -> PlantedDisk {
        PlantedDisk { disk: CrashDisk::new(seed), ignores_sync: bug == Some(PlantedBug::DiskIgnoresSync) }
    }

    /// The gateway dies in the middle of an operation that is still to come.
    pub fn power_off_after(&self, operations: u64) {
        self.disk.power_off_at(self.disk.operations() + operations);
    }

    /// No death is planned any more.
    pub fn power_stays(&self) {
        self.disk.power_off_at(u64::MAX);
    }

    pub fn is_off(&self) -> bool {
        !self.disk.is_powered()
    }

    /// The power was cut.
    pub fn crash(&self, tear: Tear) {
        self.disk.crash(tear);
    }

    /// Only the process died: the page cache keeps what was written, still not durable.
    pub fn kill(&self) {
        self.disk.kill();
    }
}

impl Disk for PlantedDisk {
    fn list(&mut self) -> io::Result<Vec<FileEntry>> {
        self.disk.list()
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.disk.create(name, bytes)
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(name, offset, buffer)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(name, offset, bytes)
    }

    fn sync_data(&mut self, name: &str) -> io::Result<()> {
        if self.ignores_sync { Ok(()) } else { self.disk.sync_data(name) }
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
}
