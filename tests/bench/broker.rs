//! The embedded broker beside Debian's mosquitto, in the same run.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::load::{self, Case};
use crate::process::Process;
use crate::rig::{free_port, has, wait_for};
use crate::usage;

/// Each with the share of mosquitto's CPU time that is allowed: what the best of the other brokers needs.
const CASES: [(Case, f64); 8] = [
    (Case::flat_out("10 to 1, QoS 0", 10, 1, 0, 500_000), 0.19),
    (Case::flat_out("10 to 1, QoS 1", 10, 1, 1, 200_000), 0.145),
    (Case::flat_out("10 to 1, QoS 2", 10, 1, 2, 100_000), 0.10),
    (Case::flat_out("1 to 50, QoS 0", 1, 50, 0, 20_000), 0.11),
    (Case::flat_out("1 to 50, QoS 1", 1, 50, 1, 5_000), 0.11),
    (Case::flat_out("1 to 100, QoS 0", 1, 100, 0, 10_000), 0.11),
    (Case { in_pairs: true, ..Case::flat_out("100 pairs, QoS 1", 100, 100, 1, 200_000) }, 0.21),
    (Case { offered_per_second: Some(2_000), ..Case::flat_out("2,000/s, QoS 1", 1, 1, 1, 10_000) }, 0.85),
];
/// Connections that do nothing, and messages that wait for somebody who is away.
const IDLE: u64 = 2_000;
const QUEUED: u64 = 100_000;
/// What each of them may hold.
const IDLE_BYTES: f64 = 1024.0;
const QUEUED_BYTES: f64 = 400.0;

pub fn print() {
    let folder = tempfile::tempdir().unwrap();
    println!("\nbroker, 64 B payloads: thousand messages delivered/s | server's CPU seconds per million");
    let mosquitto = has("mosquitto");
    let mut missed = Vec::new();
    for (case, goal) in CASES {
        let (ours, our_cpu) = measure(case, tidegate(folder.path()));
        print!("{:<16} tidegate {ours:<24}", case.name);
        if mosquitto {
            let (theirs, their_cpu) = measure(case, debian(folder.path()));
            let share = our_cpu / their_cpu;
            print!(" mosquitto {theirs:<24} | {share:.2} of it (goal {goal:.2})");
            if share > goal {
                missed.push(case.name);
            }
        }
        println!();
    }
    println!("\nbroker: resident bytes for each");
    type Fill = fn(u16);
    let fills: [(&str, u64, Fill, f64); 2] = [
        ("idle connection", IDLE, |port| std::mem::forget(load::idle(port, IDLE)), IDLE_BYTES),
        ("queued message of 64 B", QUEUED, |port| load::queue(port, QUEUED), QUEUED_BYTES),
    ];
    for (name, count, fill, goal) in fills {
        let ours = grown(tidegate(folder.path()), fill) / count as f64;
        let theirs = if mosquitto { grown(debian(folder.path()), fill) / count as f64 } else { f64::NAN };
        println!("{name:<24} tidegate {ours:7.0} mosquitto {theirs:7.0} (goal {goal:.0})");
        if ours > goal {
            missed.push(name);
        }
    }
    assert!(missed.is_empty(), "goals that were missed: {missed:?}");
}

/// By how many bytes a server grows when it is filled.
fn grown((process, port): (Process, u16), fill: fn(u16)) -> f64 {
    wait_for("the server to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    // What is made once, on first use, is not counted.
    drop(load::idle(port, 10));
    let (before, _) = usage::memory_kib(process.id());
    fill(port);
    let (after, _) = usage::memory_kib(process.id());
    after.saturating_sub(before) as f64 * 1024.0
}

/// What a case showed, and the server's CPU seconds per million.
fn measure(case: Case, (process, port): (Process, u16)) -> (String, f64) {
    wait_for("the server to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    let before = usage::cpu(process.id());
    let took = load::run(case, port);
    let cpu = usage::cpu(process.id()) - before;
    let millions = case.delivered() as f64 / 1e6;
    let cpu = cpu.as_secs_f64() / millions;
    (format!("{:7.0} k/s | {cpu:6.2} s", millions * 1e3 / took.as_secs_f64()), cpu)
}

fn tidegate(folder: &Path) -> (Process, u16) {
    let port = free_port();
    let configuration = folder.join("tidegate.toml");
    let data = folder.join("data");
    let text = format!(
        "[gateway]\nid = \"bench\"\ndata_dir = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n",
        data.display()
    );
    fs::write(&configuration, text).unwrap();
    let command = [env!("CARGO_BIN_EXE_tidegate"), "run", "--config", configuration.to_str().unwrap()];
    (Process::start("tidegate", &command, folder), port)
}

fn debian(folder: &Path) -> (Process, u16) {
    let port = free_port();
    let configuration = folder.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
    );
    fs::write(&configuration, text).unwrap();
    (Process::start("mosquitto", &["mosquitto", "-c", configuration.to_str().unwrap()], folder), port)
}
