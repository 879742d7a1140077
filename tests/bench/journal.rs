//! What keeping a reading costs the disk: the journal beside SQLite at `synchronous=FULL` and redb, on a file system of
//! its own whose device is watched; and how long a start takes with a large backlog.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use tidegate::disk::FileDisk;
use tidegate::durable::{ConsumerId, Delivery, Message, MessageBody, Record, Sequence, Ticket, Urgency};
use tidegate::journal::{Journal, Options, Writer};
use tidegate::mqtt::{QoS, TopicName};
use tidegate::time::Moment;

use crate::rig::skip;
use crate::usage;

const UPLINK: ConsumerId = ConsumerId(1);
const PAYLOAD_BYTES: usize = 120;
/// Readings that are owed at any time; each new one is kept in the commit that acknowledges an old one.
const BACKLOG: u64 = 2_000;
const OPEN: &str = "TIDEGATE_BENCH_OPEN";

/// The device under a mounted image.
struct Device {
    at: PathBuf,
    _folder: tempfile::TempDir,
}

/// What a device was asked for.
#[derive(Debug, Clone, Copy)]
struct Used {
    written_bytes: u64,
    flushes: u64,
}

impl Device {
    fn new(mib: u64) -> Option<Device> {
        let folder = tempfile::tempdir().unwrap();
        let (image, at) = (folder.path().join("disk.img"), folder.path().join("mounted"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let image = image.to_str().unwrap();
        let lazy = "lazy_itable_init=0,lazy_journal_init=0";
        let made = run(&["mke2fs", "-q", "-F", "-t", "ext4", "-E", lazy, image]);
        let mounted = made && run(&["mount", "-o", "loop", image, at.to_str().unwrap()]);
        mounted.then_some(Device { at, _folder: folder })
    }

    fn used(&self) -> Used {
        run(&["sync", "-f", self.at.to_str().unwrap()]);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == self.at.to_str()).unwrap();
        let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
        let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
        let fields: Vec<u64> = stat.split_whitespace().map(|field| field.parse().unwrap()).collect();
        Used { written_bytes: fields[6] * 512, flushes: fields[15] }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap();
        let _ = run(&["umount", at]) || run(&["umount", "-l", at]);
    }
}

fn run(command: &[&str]) -> bool {
    let mut run = Command::new(command[0]);
    run.args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// Something that keeps readings: `per_commit` new ones, and as many old ones acknowledged, in each durable commit.
trait Keeper {
    /// Keeps that many commits of readings.
    fn keep(&mut self, commits: u64, per_commit: u64);

    /// After so many commits it is as it will always be: files are used again and again.
    fn settled_after(&self, per_commit: u64) -> u64 {
        6_000 / per_commit.max(10)
    }
}

pub fn print() {
    let Some(device) = Device::new(512) else {
        return skip("needs root, mke2fs and loop devices");
    };
    println!(
        "\nkeeping readings of {PAYLOAD_BYTES} B, each commit durable and with as many acknowledgements as readings:"
    );
    println!("per commit | engine   | device bytes per reading | flushes per commit | readings/s");
    for per_commit in [1, 10, 100] {
        let folder = |name: &str| {
            let folder = device.at.join(format!("{name}-{per_commit}"));
            fs::create_dir(&folder).unwrap();
            folder
        };
        measure("tidegate", &device, per_commit, &mut Own::new(&folder("tidegate")));
        measure("redb", &device, per_commit, &mut Redb::new(&folder("redb")));
        measure("sqlite", &device, per_commit, &mut Sqlite(folder("sqlite").join("readings.sqlite")));
    }
    recovery(&device);
}

/// Only how a start with a large backlog goes.
pub fn print_start() {
    match Device::new(512) {
        Some(device) => recovery(&device),
        None => skip("needs root, mke2fs and loop devices"),
    }
}

fn measure(name: &str, device: &Device, per_commit: u64, keeper: &mut dyn Keeper) {
    keeper.keep(keeper.settled_after(per_commit), per_commit);
    let commits = (20_000 / per_commit).min(1_000);
    let (before, start) = (device.used(), Instant::now());
    keeper.keep(commits, per_commit);
    let took = start.elapsed();
    let after = device.used();
    let readings = commits * per_commit;
    println!(
        "{per_commit:10} | {name:<8} | {:24} | {:18.2} | {:10.0}",
        (after.written_bytes - before.written_bytes) / readings,
        (after.flushes - before.flushes) as f64 / commits as f64,
        readings as f64 / took.as_secs_f64(),
    );
}

/// The journal of this program.
struct Own {
    journal: Journal<FileDisk>,
    next: u64,
    acknowledged: u64,
}

impl Own {
    fn new(folder: &Path) -> Own {
        let mut own = Own { journal: open(folder, 1), next: 1, acknowledged: 0 };
        let name = ByteString::from_static("cloud");
        own.append(Record::UplinkOpened { consumer: UPLINK, name });
        own
    }

    fn append(&mut self, record: Record) {
        self.journal.append(Moment::default(), Writer::BROKER, Ticket(self.next), Urgency::Awaited, record);
    }
}

impl Keeper for Own {
    /// The first segments are made anew, zeros and all.
    fn settled_after(&self, per_commit: u64) -> u64 {
        let pages = (per_commit * 2 * PAYLOAD_BYTES as u64).div_ceil(4096);
        6 * 1024 / pages
    }

    fn keep(&mut self, commits: u64, per_commit: u64) {
        for _ in 0..commits {
            for _ in 0..per_commit {
                self.append(kept(self.next));
                self.next += 1;
                if self.next - self.acknowledged > BACKLOG {
                    self.acknowledged += 1;
                    let sequence = Sequence(self.acknowledged);
                    self.append(Record::Done { consumer: UPLINK, sequence });
                }
            }
            self.journal.commit(Moment::default());
            if self.journal.wants_tending(Moment::default()) {
                self.journal.tend(Moment::default());
            }
        }
    }
}

fn open(folder: &Path, seed: u64) -> Journal<FileDisk> {
    let options = Options::new(1 << 30, seed);
    Journal::open(FileDisk::open(folder).unwrap(), options, Moment::default()).unwrap().0
}

fn kept(sequence: u64) -> Record {
    let message = Message {
        topic: TopicName::parse("tidegate/greenhouse/kitchen/state").unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at: Moment::default(),
        body: MessageBody::Publish { payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]), properties: None },
    };
    let delivery = Delivery {
        consumer: UPLINK,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Default::default(),
    };
    Record::Kept { sequence: Sequence(sequence), message, deliveries: [delivery].into_iter().collect() }
}

const READINGS: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("readings");

struct Redb {
    database: redb::Database,
    next: u64,
}

impl Redb {
    fn new(folder: &Path) -> Redb {
        Redb { database: redb::Database::create(folder.join("readings.redb")).unwrap(), next: 1 }
    }
}

impl Keeper for Redb {
    fn keep(&mut self, commits: u64, per_commit: u64) {
        for _ in 0..commits {
            let transaction = self.database.begin_write().unwrap();
            {
                let mut readings = transaction.open_table(READINGS).unwrap();
                for _ in 0..per_commit {
                    readings.insert(self.next, [b'x'; PAYLOAD_BYTES].as_slice()).unwrap();
                    if let Some(old) = self.next.checked_sub(BACKLOG) {
                        readings.remove(old).unwrap();
                    }
                    self.next += 1;
                }
            }
            transaction.commit().unwrap();
        }
    }
}

/// Python's SQLite: what the device sees is the same whoever calls it.
struct Sqlite(PathBuf);

const SQLITE: &str = "
import sqlite3, sys
path, commits, per_commit, backlog, size = sys.argv[1], *map(int, sys.argv[2:])
db = sqlite3.connect(path, isolation_level=None)
db.execute('pragma journal_mode=wal')
db.execute('pragma synchronous=full')
db.execute('create table if not exists readings(id integer primary key, payload blob)')
number = db.execute('select coalesce(max(id), 0) from readings').fetchone()[0]
payload = b'x' * size
for _ in range(commits):
    db.execute('begin')
    for _ in range(per_commit):
        number += 1
        db.execute('insert into readings values(?, ?)', (number, payload))
        db.execute('delete from readings where id = ?', (number - backlog,))
    db.execute('commit')
";

impl Keeper for Sqlite {
    fn keep(&mut self, commits: u64, per_commit: u64) {
        let numbers = [commits, per_commit, BACKLOG, PAYLOAD_BYTES as u64].map(|number| number.to_string());
        let status = Command::new("python3").arg("-c").arg(SQLITE).arg(&self.0).args(numbers).status();
        assert!(status.unwrap().success(), "python3 with sqlite3");
    }
}

/// A start with a large backlog, in a process of its own.
fn recovery(device: &Device) {
    let records = std::env::var("TIDEGATE_BENCH_RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let folder = device.at.join("large");
    let start = Instant::now();
    {
        let mut own = Own::new(&folder);
        for _ in 0..records / 1_000 {
            for _ in 0..1_000 {
                own.append(kept(own.next));
                own.next += 1;
            }
            own.journal.commit(Moment::default());
            own.journal.tend(Moment::default());
        }
    }
    let rate = records as f64 / start.elapsed().as_secs_f64();
    println!("{records} records appended, 1000 per commit: {rate:.0}/s");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opens_a_large_journal", "--ignored", "--nocapture"])
        .env(OPEN, &folder)
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    println!("{}", output.lines().find(|line| line.starts_with("opened")).expect("the child says so"));
}

/// The child of [`recovery`].
pub fn open_large() {
    let Some(folder) = std::env::var_os(OPEN) else { return };
    let (_, before) = usage::memory_kib(std::process::id());
    let start = Instant::now();
    let mut journal = open(Path::new(&folder), 2);
    // Until one more is accepted.
    let next = u64::MAX / 2;
    let at = Moment::default();
    journal.append(at, Writer::BROKER, Ticket(next), Urgency::Awaited, kept(next));
    journal.commit(at);
    let took: Duration = start.elapsed();
    let (now, most) = usage::memory_kib(std::process::id());
    let waiting: u64 = journal.status().backlogs.values().map(|backlog| backlog.messages).sum();
    println!(
        "opened with {waiting} messages on disk, and one more accepted, in {} ms, {now} KiB resident, {most} at most ({before} before)",
        took.as_millis()
    );
}
