//! The embedded broker beside Debian's mosquitto, in the same run.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::load::{self, Case};
use crate::process::Process;
use crate::rig::{free_port, has, wait_for};
use crate::usage;

const CASES: [Case; 4] = [
    Case { name: "10 to 1, QoS 0", publishers: 10, subscribers: 1, qos: 0, messages: 500_000 },
    Case { name: "10 to 1, QoS 1", publishers: 10, subscribers: 1, qos: 1, messages: 200_000 },
    Case { name: "1 to 50, QoS 0", publishers: 1, subscribers: 50, qos: 0, messages: 20_000 },
    Case { name: "1 to 50, QoS 1", publishers: 1, subscribers: 50, qos: 1, messages: 5_000 },
];

pub fn print() {
    let folder = tempfile::tempdir().unwrap();
    println!("\nbroker, 64 B payloads: thousand messages delivered/s | server's CPU seconds per million");
    let mosquitto = has("mosquitto");
    for case in CASES {
        let ours = measure(case, tidegate(folder.path()));
        let theirs = if mosquitto { measure(case, debian(folder.path())) } else { String::new() };
        println!("{:<16} tidegate {ours:<24} mosquitto {theirs}", case.name);
    }
}

fn measure(case: Case, (process, port): (Process, u16)) -> String {
    wait_for("the server to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    let before = usage::cpu(process.id());
    let took = load::run(case, port);
    let cpu = usage::cpu(process.id()) - before;
    let millions = (case.messages * case.subscribers) as f64 / 1e6;
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
