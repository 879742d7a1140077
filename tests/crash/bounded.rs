//! A large backlog costs neither time at the start nor memory: what is older than the last checkpoint is not read then,
//! and only some of it is known at any time.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use allocation_counter::measure;
use tidegate::durable::{ConsumerId, Sequence, Urgency};
use tidegate::journal::{Disk, FileEntry, Journal, Load, Options};

use crate::crash_disk::CrashDisk;
use crate::world::{CONSUMERS, World, options};

const SEGMENT: u64 = 64 * 1024;
const PAGE: u64 = 4096;

/// A disk that counts the bytes that are read.
struct Counting {
    disk: CrashDisk,
    read: Rc<Cell<u64>>,
}

impl Disk for Counting {
    fn list(&mut self) -> io::Result<Vec<FileEntry>> {
        self.disk.list()
    }
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.disk.create(name, bytes)
    }
    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.set(self.read.get() + buffer.len() as u64);
        self.disk.read_at(name, offset, buffer)
    }
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(name, offset, bytes)
    }
    fn sync_data(&mut self, name: &str) -> io::Result<()> {
        self.disk.sync_data(name)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
}

fn few_places(seed: u64) -> Options {
    Options { places_max: 1_000, max_bytes: 64 << 20, ..options(seed) }
}

/// A backlog for everybody, in so many commits of many small messages.
fn backlog(commits: u64) -> World {
    let mut world = World::new(7, few_places(7));
    for _ in 0..commits {
        let records = (0..400).map(|_| world.message_for_all(10)).collect();
        world.append(Urgency::Lingers, records);
        world.commit();
    }
    world
}

fn load(consumer: u32, after: Sequence) -> Load {
    let consumer = ConsumerId(consumer);
    Load { consumer, after, max_messages: 100, max_bytes: 100_000, committed_only: true }
}

/// Opens a backlog, reads all of it for everybody, and looks after the journal: how many bytes of memory it took at most,
/// and how many bytes were read to open it.
fn cost(world: &World) -> (u64, u64) {
    let read = Rc::new(Cell::new(0));
    let disk = Counting { disk: world.disk.clone(), read: Rc::clone(&read) };
    let mut read_to_open = 0;
    let memory = measure(|| {
        let (mut journal, recovery) = Journal::open(disk, few_places(8), world.now).unwrap();
        assert!(recovery.report.is_sound());
        read_to_open = read.get();
        for consumer in 1..=CONSUMERS {
            let mut after = Sequence::ZERO;
            while after < recovery.queued[&ConsumerId(consumer)] {
                let loaded = journal.load(&load(consumer, after));
                if loaded.deliveries.is_empty() {
                    // What the last commit holds waits to be written again.
                    break;
                }
                after = loaded.through;
            }
            journal.tend(world.now);
        }
    });
    (memory.bytes_max, read_to_open)
}

#[test]
fn neither_the_start_nor_memory_depends_on_the_backlog() {
    let (few, many) = (backlog(30), backlog(200));
    let (little, read_of_few) = cost(&few);
    let (much, read_of_many) = cost(&many);
    let segments = many.disk.names().len() as u64;
    assert!(segments > 60, "{segments} segments");
    // A hundred bytes or so of memory for each segment and consumer; two pages at most of each file.
    println!(
        "{segments} segments: {little} and {much} bytes of memory, {read_of_few} and {read_of_many} read to open"
    );
    assert!(much < little + segments * 4 * 300, "{little} bytes grew to {much} with {segments} segments");
    assert!(
        read_of_many < 12 * SEGMENT + segments * 2 * PAGE,
        "{read_of_many} bytes were read to open {segments}"
    );
    assert!(read_of_few < 12 * SEGMENT + segments * 2 * PAGE);
}
