//! A disk that forgets: it keeps what is live (what reads return) apart from what is durable (what a power cut
//! leaves), tears what was not synced at 512 or 4096 bytes, and fails when it is told to. Everything it does
//! follows from its seed.
//!
//! A [`CrashDisk`] is a handle: clones share one disk, so that a test holds the disk while a journal uses it.
#![allow(dead_code, reason = "included by several test programs, each of which uses a part")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use tidegate::journal::{Disk, FileEntry};

const SECTOR_BYTES: usize = 512;
const PAGE_SECTORS: usize = 8;

/// SplitMix64: small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    pub(crate) fn per_mille(&mut self, chance: u32) -> bool {
        self.below(1000) < u64::from(chance)
    }
}

/// How often, per mille, an operation fails.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FaultRates {
    pub(crate) write: u32,
    pub(crate) sync: u32,
    pub(crate) create: u32,
    pub(crate) read: u32,
}

/// What a power cut leaves of sectors that were written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tear {
    /// None of them.
    LoseAll,
    /// All of them, as when only the process dies.
    KeepAll,
    /// Each sector of 512 bytes or none of it, in any combination.
    Sectors,
    /// Each page of 4096 bytes or none of it, in any combination.
    Pages,
    /// The first ones of each file, cut at a sector.
    Prefix,
}

#[derive(Debug, Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
struct Inner {
    rng: Rng,
    files: BTreeMap<String, File>,
    /// Removed, but a power cut may bring them back.
    removed: BTreeMap<String, File>,
    capacity: Option<u64>,
    rates: FaultRates,
    /// Operations that change something, since the disk was made.
    operations: u64,
    power_off_at: Option<u64>,
    fail_at: BTreeSet<u64>,
    powered: bool,
    syncs: u64,
    dead: bool,
}

/// A handle to a disk that crashes.
#[derive(Debug, Clone)]
pub(crate) struct CrashDisk(Rc<RefCell<Inner>>);

impl CrashDisk {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> CrashDisk {
        CrashDisk(Rc::new(RefCell::new(Inner {
            rng: Rng::new(seed),
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            capacity: None,
            rates: FaultRates::default(),
            operations: 0,
            power_off_at: None,
            fail_at: BTreeSet::new(),
            powered: true,
            syncs: 0,
            dead: false,
        })))
    }

    /// A disk of its own with the same content.
    pub(crate) fn fork(&self) -> CrashDisk {
        CrashDisk(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// Files may not grow past this together.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.0.borrow_mut().capacity = bytes;
    }

    /// From now on operations fail this often.
    pub(crate) fn set_fault_rates(&self, rates: FaultRates) {
        self.0.borrow_mut().rates = rates;
    }

    /// Every write, sync and create fails from now on, as on a disk that went read-only; or no longer.
    pub(crate) fn set_dead(&self, dead: bool) {
        self.0.borrow_mut().dead = dead;
    }

    /// The operation with this number fails; see [`CrashDisk::operations`].
    pub(crate) fn fail_at(&self, operation: u64) {
        self.0.borrow_mut().fail_at.insert(operation);
    }

    /// What [`CrashDisk::fail_at`] said does not hold any more.
    pub(crate) fn fail_no_more(&self) {
        self.0.borrow_mut().fail_at.clear();
    }

    /// How many operations changed something so far.
    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// How many syncs succeeded so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.borrow().syncs
    }

    /// The power goes in the middle of the operation with this number; see [`CrashDisk::operations`].
    pub(crate) fn power_off_at(&self, operation: u64) {
        self.0.borrow_mut().power_off_at = Some(operation);
    }

    /// Whether the power is on.
    pub(crate) fn is_powered(&self) -> bool {
        self.0.borrow().powered
    }

    /// Cuts the power if it is still on, and turns it on again: only what is durable is left, and of what was not
    /// synced what `tear` says.
    pub(crate) fn crash(&self, tear: Tear) {
        let inner = &mut *self.0.borrow_mut();
        for (name, file) in std::mem::take(&mut inner.removed) {
            if tear != Tear::KeepAll && !inner.files.contains_key(&name) && inner.rng.per_mille(500) {
                inner.files.insert(name, file);
            }
        }
        for file in inner.files.values_mut() {
            let dirty = std::mem::take(&mut file.dirty);
            let cut = inner.rng.below(dirty.len() as u64 + 1) as usize;
            let pages = inner.rng.next();
            for (index, sector) in dirty.into_iter().enumerate() {
                let survives = match tear {
                    Tear::LoseAll => false,
                    Tear::KeepAll => true,
                    Tear::Sectors => inner.rng.per_mille(500),
                    Tear::Pages => Rng::new(pages ^ (sector / PAGE_SECTORS) as u64).per_mille(500),
                    Tear::Prefix => index < cut,
                };
                if survives {
                    file.persist(sector);
                }
            }
            if tear != Tear::KeepAll {
                file.live = file.durable.clone();
            }
        }
        inner.powered = true;
        inner.power_off_at = None;
    }

    /// Only the process died: the page cache keeps what was written, and a later power cut may still lose it.
    pub(crate) fn kill(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.powered = true;
        inner.power_off_at = None;
    }

    /// The names of the files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.borrow().files.keys().cloned().collect()
    }

    /// The content of a file.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        self.0.borrow().files.get(name).map(|file| file.live.clone()).unwrap_or_default()
    }

    /// Puts a file there, durably, whatever was there before.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) {
        let file = File { durable: content.clone(), live: content, dirty: BTreeSet::new() };
        self.0.borrow_mut().files.insert(name.to_owned(), file);
    }

    /// Takes a file away, durably.
    pub(crate) fn take(&self, name: &str) -> Option<Vec<u8>> {
        self.0.borrow_mut().files.remove(name).map(|file| file.live)
    }

    /// Changes bytes of a file, durably.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(mut content) = self.take(name) {
            change(&mut content);
            self.put(name, content);
        }
    }
}

impl File {
    fn persist(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.live.len());
        if self.durable.len() < self.live.len() {
            self.durable.resize(self.live.len(), 0);
        }
        self.durable[start..end].copy_from_slice(&self.live[start..end]);
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.live[offset..offset + bytes.len()].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR_BYTES..=(offset + bytes.len() - 1) / SECTOR_BYTES);
        }
    }
}

enum Fate {
    Good,
    Fails,
    PowerCut,
}

impl Inner {
    fn fate(&mut self, rate: u32) -> io::Result<Fate> {
        if !self.powered {
            return Err(io::Error::other("the power is off"));
        }
        let operation = self.operations;
        self.operations += 1;
        if self.power_off_at == Some(operation) {
            self.powered = false;
            return Ok(Fate::PowerCut);
        }
        let fails = self.dead || self.fail_at.contains(&operation);
        Ok(if fails || self.rng.per_mille(rate) { Fate::Fails } else { Fate::Good })
    }

    fn file_mut(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn broken() -> io::Error {
    io::Error::other("injected I/O error")
}

impl Disk for CrashDisk {
    fn list(&mut self) -> io::Result<Vec<FileEntry>> {
        let inner = self.0.borrow();
        let entry =
            |(name, file): (&String, &File)| FileEntry { name: name.clone(), bytes: file.live.len() as u64 };
        Ok(inner.files.iter().map(entry).collect())
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let inner = &mut *self.0.borrow_mut();
        let rate = inner.rates.create;
        let fate = inner.fate(rate)?;
        if inner.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let held: u64 = inner.files.values().map(|file| file.live.len() as u64).sum();
        if inner.capacity.is_some_and(|capacity| held + bytes > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let length = match fate {
            Fate::Good => bytes as usize,
            Fate::Fails | Fate::PowerCut => inner.rng.below(bytes + 1) as usize,
        };
        let zeros = vec![0; length];
        inner
            .files
            .insert(name.to_owned(), File { live: zeros.clone(), durable: zeros, dirty: BTreeSet::new() });
        match fate {
            Fate::Good => {
                inner.removed.clear();
                Ok(())
            }
            Fate::Fails | Fate::PowerCut => Err(broken()),
        }
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = &mut *self.0.borrow_mut();
        if !inner.powered {
            return Err(io::Error::other("the power is off"));
        }
        let rate = inner.rates.read;
        if inner.rng.per_mille(rate) {
            return Err(broken());
        }
        let file = inner.file_mut(name)?;
        let start = (offset as usize).min(file.live.len());
        let length = buffer.len().min(file.live.len() - start);
        buffer[..length].copy_from_slice(&file.live[start..start + length]);
        Ok(length)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let inner = &mut *self.0.borrow_mut();
        let rate = inner.rates.write;
        let fate = inner.fate(rate)?;
        let written = match fate {
            Fate::Good => bytes.len(),
            Fate::Fails | Fate::PowerCut => inner.rng.below(bytes.len() as u64 + 1) as usize,
        };
        let file = inner.file_mut(name)?;
        let offset = offset as usize;
        assert!(offset + bytes.len() <= file.live.len(), "a write past the end of {name}");
        file.write(offset, &bytes[..written]);
        if matches!(fate, Fate::Good) { Ok(()) } else { Err(broken()) }
    }

    /// A failed sync leaves what Linux leaves: some sectors durable, some not, none of them dirty any more, so that
    /// the next sync succeeds and proves nothing.
    fn sync_data(&mut self, name: &str) -> io::Result<()> {
        let inner = &mut *self.0.borrow_mut();
        let rate = inner.rates.sync;
        let fate = inner.fate(rate)?;
        if matches!(fate, Fate::PowerCut) {
            return Err(broken());
        }
        let mut rng = inner.rng.clone();
        inner.rng.next();
        let good = matches!(fate, Fate::Good);
        let file = inner.file_mut(name)?;
        for sector in std::mem::take(&mut file.dirty) {
            if good || rng.per_mille(500) {
                file.persist(sector);
            }
        }
        if !good {
            return Err(broken());
        }
        inner.syncs += 1;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let inner = &mut *self.0.borrow_mut();
        let fate = inner.fate(0)?;
        if matches!(fate, Fate::Fails) {
            return Err(broken());
        }
        let file = inner.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.removed.insert(name.to_owned(), file);
        if matches!(fate, Fate::Good) { Ok(()) } else { Err(broken()) }
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inner = &mut *self.0.borrow_mut();
        let fate = inner.fate(0)?;
        let happens = match fate {
            Fate::Good => true,
            Fate::Fails => false,
            Fate::PowerCut => inner.rng.per_mille(500),
        };
        if happens {
            let file = inner.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            inner.files.insert(to.to_owned(), file);
        }
        if matches!(fate, Fate::Good) { Ok(()) } else { Err(broken()) }
    }
}
