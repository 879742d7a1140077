//! The embedded broker beside Debian's mosquitto, in the same run.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::load::{self, Case};
use crate::process::Process;
use crate::rig::{free_port, has, wait_for};
use crate::usage;

const CASES: [Case; 8] = [
    Case::flat_out("10 to 1, QoS 0", 10, 1, 0, 500_000),
    Case::flat_out("10 to 1, QoS 1", 10, 1, 1, 200_000),
    Case::flat_out("10 to 1, QoS 2", 10, 1, 2, 100_000),
    Case::flat_out("1 to 50, QoS 0", 1, 50, 0, 20_000),
    Case::flat_out("1 to 50, QoS 1", 1, 50, 1, 5_000),
    Case::flat_out("1 to 100, QoS 0", 1, 100, 0, 10_000),
    Case { in_pairs: true, ..Case::flat_out("100 pairs, QoS 1", 100, 100, 1, 200_000) },
    Case { offered_per_second: Some(2_000), ..Case::flat_out("2,000/s, QoS 1", 1, 1, 1, 10_000) },
];
/// Connections that do nothing, and messages that wait for somebody who is away.
const IDLE: u64 = 2_000;
const QUEUED: u64 = 100_000;

pub fn print() {
    let folder = tempfile::tempdir().unwrap();
    println!("\nbroker, 64 B payloads: thousand messages delivered/s | server's CPU seconds per million");
    let mosquitto = has("mosquitto");
    for case in CASES {
        let ours = measure(case, tidegate(folder.path()));
        let theirs = if mosquitto { measure(case, debian(folder.path())) } else { String::new() };
        println!("{:<16} tidegate {ours:<24} mosquitto {theirs}", case.name);
    }
    println!("\nbroker: resident bytes for each");
    type Fill = fn(u16);
    let fills: [(&str, u64, Fill); 2] = [
        ("idle connection", IDLE, |port| std::mem::forget(load::idle(port, IDLE))),
        ("queued message of 64 B", QUEUED, |port| load::queue(port, QUEUED)),
    ];
    for (name, count, fill) in fills {
        let ours = grown(tidegate(folder.path()), fill) / count as f64;
        let theirs = if mosquitto { grown(debian(folder.path()), fill) / count as f64 } else { f64::NAN };
        println!("{name:<24} tidegate {ours:7.0} mosquitto {theirs:7.0}");
    }
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

fn measure(case: Case, (process, port): (Process, u16)) -> String {
    wait_for("the server to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    let before = usage::cpu(process.id());
    let took = load::run(case, port);
    let cpu = usage::cpu(process.id()) - before;
    let millions = case.delivered() as f64 / 1e6;
    format!("{:7.0} k/s | {:6.2} s", millions * 1e3 / took.as_secs_f64(), cpu.as_secs_f64() / millions)
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
