//! Durable publishing: what a publisher is acknowledged when each message must be on disk for somebody who is away, beside
//! what the disk allows: a bare loop that writes and syncs batches of the same size.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::load;
use crate::process::Process;
use crate::rig::{free_port, wait_for};
use crate::usage;

const PAYLOAD_BYTES: usize = 64;
const PAGE_BYTES: u64 = 4096;
/// The bare loop writes over a file of zeros of this length, as the journal does.
const FILE_BYTES: u64 = 64 << 20;

struct Case {
    publishers: u64,
    window: u64,
    messages: u64,
}

/// What a case came to.
struct Measured {
    rate: f64,
    cpu_per_million: f64,
    commits: u64,
    written_bytes: u64,
}

pub fn print() {
    // Not below /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("\ndurable publishing, {PAYLOAD_BYTES} B at QoS 1 to a session that is away:");
    println!(
        "publishers, window | acks/s | messages per sync | the disk alone/s | of it | CPU seconds per million"
    );
    let messages = std::env::var("TIDEGATE_BENCH_RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let one_by_one = (messages / 200).clamp(100, 5_000);
    for case in [
        Case { publishers: 10, window: 50, messages },
        Case { publishers: 1, window: 1, messages: one_by_one },
    ] {
        let measured = measure(&case, folder.path());
        let Measured { rate, cpu_per_million, commits, written_bytes } = measured;
        let each = case.messages as f64 / commits as f64;
        let bytes = (written_bytes / commits).next_multiple_of(PAGE_BYTES);
        let disk = bare(folder.path(), commits.min(5_000), bytes) * each;
        println!(
            "{:10}, {:6} | {rate:6.0} | {each:17.1} | {disk:16.0} | {:5.2} | {cpu_per_million:.2}",
            case.publishers,
            case.window,
            rate / disk
        );
        if case.window == 1 {
            let rate = bare_server(folder.path(), case.messages.min(5_000));
            println!(
                "a server that does nothing but read, write a page, sync and answer: {rate:.0}/s, {:.2} of the disk alone",
                rate / disk
            );
        }
    }
}

fn measure(case: &Case, folder: &Path) -> Measured {
    let (process, port, http) = tidegate(folder);
    wait_for("the broker to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    load::away(port);
    let sockets: Vec<TcpStream> =
        (0..case.publishers).map(|n| load::connect(port, &format!("p{n}"))).collect();
    let before = journal(http);
    let (cpu, start) = (usage::cpu(process.id()), Instant::now());
    let each = case.messages / case.publishers;
    let threads = sockets.into_iter().map(|socket| {
        let window = case.window;
        thread::spawn(move || load::publish_openly(socket, window, each))
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    let took = start.elapsed().as_secs_f64();
    let cpu = (usage::cpu(process.id()) - cpu).as_secs_f64();
    let after = journal(http);
    let measured = Measured {
        rate: case.messages as f64 / took,
        cpu_per_million: cpu * 1e6 / case.messages as f64,
        commits: after.0 - before.0,
        written_bytes: after.1 - before.1,
    };
    drop(process);
    let _ = fs::remove_dir_all(folder.join("data"));
    measured
}

/// Batches a second that the disk takes: each is written behind the one before and synced.
fn bare(folder: &Path, batches: u64, bytes: u64) -> f64 {
    let (path, file) = zeros(folder);
    let batch = vec![b'x'; bytes as usize];
    let start = Instant::now();
    for number in 0..batches {
        let places = FILE_BYTES / bytes;
        file.write_all_at(&batch, number % places * bytes).unwrap();
        file.sync_data().unwrap();
    }
    let rate = batches as f64 / start.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
    rate
}

/// Messages a second, one by one, of a server without a broker: what waking each other costs on this machine.
fn bare_server(folder: &Path, messages: u64) -> f64 {
    let (path, file) = zeros(folder);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let page = vec![b'x'; PAGE_BYTES as usize];
        let mut message = [0; 9 + PAYLOAD_BYTES];
        for number in 0.. {
            if socket.read_exact(&mut message).is_err() {
                return;
            }
            file.write_all_at(&page, number % (FILE_BYTES / PAGE_BYTES) * PAGE_BYTES).unwrap();
            file.sync_data().unwrap();
            socket.write_all(&[0x40, 2, 0, 1]).unwrap();
        }
    });
    let start = Instant::now();
    for _ in 0..messages {
        client.write_all(&[b'x'; 9 + PAYLOAD_BYTES]).unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
    }
    let rate = messages as f64 / start.elapsed().as_secs_f64();
    drop(client);
    server.join().unwrap();
    fs::remove_file(path).unwrap();
    rate
}

/// A file as the journal's are: there is nothing left to do for the file system but to write over it.
fn zeros(folder: &Path) -> (PathBuf, File) {
    let path = folder.join("bare");
    let file = File::create(&path).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..FILE_BYTES >> 20).for_each(|mib| file.write_all_at(&zeros, mib << 20).unwrap());
    file.sync_all().unwrap();
    (path, file)
}

/// Commits so far, and bytes written by them, as the metrics say.
fn journal(http: u16) -> (u64, u64) {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, http)).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let value = |name: &str| {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
    };
    (value("tidegate_journal_commit_seconds_count"), value("tidegate_journal_written_bytes_total"))
}

fn tidegate(folder: &Path) -> (Process, u16, u16) {
    let (port, http) = (free_port(), free_port());
    let configuration = folder.join("tidegate.toml");
    let text = format!(
        "[gateway]\nid = \"bench\"\ndata_dir = \"{}\"\n[broker]\nmax_queued_messages = 100000000\n\
         max_queued_bytes = 100000000000\n[journal]\nmax_bytes = \"2GiB\"\n\
         [[listener]]\naddress = \"127.0.0.1:{port}\"\n[http]\naddress = \"127.0.0.1:{http}\"\n",
        folder.join("data").display()
    );
    fs::write(&configuration, text).unwrap();
    let command = [env!("CARGO_BIN_EXE_tidegate"), "run", "--config", configuration.to_str().unwrap()];
    (Process::start("tidegate", &command, folder), port, http)
}
