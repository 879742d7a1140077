//! The gateway's disk: the one that crashes, or one with a bug planted in it.
//!
//! The planted ones do to the bytes, or to the answers, what the product would do if it had that bug.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tidegate::journal::{Disk, FileEntry};

use crate::crash_disk::{CrashDisk, FaultRates, Tear};
use crate::plan::PlantedBug;
use crate::planted::{Checkpoints, StaleCommits};

/// A handle to the disk; clones share it.
#[derive(Debug, Clone)]
pub struct PlantedDisk {
    disk: CrashDisk,
    bug: Option<PlantedBug>,
    stale: Rc<RefCell<StaleCommits>>,
    checkpoints: Rc<RefCell<Checkpoints>>,
}

impl PlantedDisk {
    pub fn new(seed: u64, bug: Option<PlantedBug>) -> PlantedDisk {
        let (stale, checkpoints) = (Rc::default(), Rc::default());
        PlantedDisk { disk: CrashDisk::new(seed), bug, stale, checkpoints }
    }

    /// The gateway dies in the middle of an operation that is still to come.
    pub fn power_off_after(&self, operations: u64) {
        self.disk.power_off_at(self.disk.operations() + operations);
    }

    /// No death is planned any more.
    pub fn power_stays(&self) {
        self.disk.power_off_at(u64::MAX);
    }

    pub fn is_well(&self) {
        self.disk.set_fault_rates(FaultRates::default());
        self.disk.set_dead(false);
        self.disk.set_capacity(None);
    }

    /// Writes are cut short, syncs fail, files cannot be made: now and then.
    pub fn fails_now_and_then(&self) {
        self.disk.set_fault_rates(FaultRates { write: 100, sync: 100, create: 200, read: 0 });
    }

    /// Takes no writes any more.
    pub fn dies(&self) {
        self.disk.set_dead(true);
    }

    /// Has no room for another file.
    pub fn fills_up(&self) {
        self.disk.set_capacity(Some(0));
    }

    /// How many operations changed something so far.
    pub fn operations(&self) -> u64 {
        self.disk.operations()
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
        let count = self.disk.read_at(name, offset, buffer)?;
        if self.bug == Some(PlantedBug::StaleCommitsPass) {
            let forged = self.stale.borrow().passing(&self.disk.content(name));
            let start = (offset as usize).min(forged.len());
            buffer[..count].copy_from_slice(&forged[start..start + count]);
        }
        Ok(count)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.bug {
            Some(PlantedBug::StaleCommitsPass) => self.stale.borrow_mut().written(offset, bytes),
            Some(PlantedBug::StaleCheckpoint) if offset == 0 => {
                let stale = self.checkpoints.borrow_mut().outdated(bytes);
                return self.disk.write_at(name, offset, &stale);
            }
            _ => {}
        }
        self.disk.write_at(name, offset, bytes)
    }

    fn sync_data(&mut self, name: &str) -> io::Result<()> {
        match self.bug {
            Some(PlantedBug::DiskIgnoresSync) => Ok(()),
            Some(PlantedBug::RetriesSync) => self.disk.sync_data(name).or_else(|_| self.disk.sync_data(name)),
            _ => self.disk.sync_data(name),
        }
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
}
