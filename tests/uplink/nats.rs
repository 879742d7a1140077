//! Debian's nats-server with JetStream, which speaks MQTT 3.1.1, in a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::mosquitto::skip;
use crate::process::Process;
use crate::rig::free_port;

const SERVER: &str = "/usr/sbin/nats-server";
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Nats {
    folder: tempfile::TempDir,
    process: Option<Process>,
    pub port: u16,
}

impl Nats {
    /// A running server; `None`, and the skip counted, where it is not installed.
    pub fn start(test: &str) -> Option<Nats> {
        if !std::path::Path::new(SERVER).exists() {
            skip(&format!("{test}: nats-server is not installed"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let configuration = format!(
            "server_name: tidegate\nlisten: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\" }}\n\
             mqtt {{ listen: \"127.0.0.1:{port}\" }}\n",
            free_port(),
            folder.path().join("store").display(),
        );
        fs::write(folder.path().join("nats.conf"), configuration).unwrap();
        let mut nats = Nats { folder, process: None, port };
        nats.up();
        Some(nats)
    }

    pub fn up(&mut self) {
        let configuration = self.folder.path().join("nats.conf");
        let command = [SERVER, "-c", configuration.to_str().unwrap()];
        let process = Process::start("nats", &command, self.folder.path());
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "nats-server does not listen:\n{}", process.output());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
    }

    /// `kill -9`: what JetStream has acknowledged is in its files.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }
}
