//! The gateway's own binary, with a configuration made for the rig.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::Process;
use crate::rig::{free_port, wait_for};
use crate::sensor::Sensor;

/// A gateway that can be killed and started again.
#[derive(Debug)]
pub struct Gateway {
    folder: PathBuf,
    pub port: u16,
    process: Option<Process>,
}

impl Gateway {
    pub fn start(folder: &Path, upstream: &str, sensors: &[Sensor]) -> Gateway {
        let port = free_port();
        let mut configuration = format!(
            "[gateway]\nid = \"lab\"\ndata_dir = \"data\"\n\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n\n\
             [journal]\ncommit_interval_ms = 200\n\n\
             [uplink.cloud]\nurl = \"mqtt://{upstream}\"\nkeep_alive_seconds = 5\nforward = [\"tidegate/#\"]\n"
        );
        for (index, sensor) in sensors.iter().enumerate() {
            let path = sensor.path();
            write!(configuration, "\n[sensor.s{index}]\nserial = \"{path}\"\nprofile = \"json-lines\"\n")
                .unwrap();
        }
        fs::write(folder.join("tidegate.toml"), configuration).unwrap();
        let mut gateway = Gateway { folder: folder.to_owned(), port, process: None };
        gateway.start_again();
        gateway
    }

    pub fn start_again(&mut self) {
        let configuration = self.folder.join("tidegate.toml");
        let command = [env!("CARGO_BIN_EXE_tidegate"), "run", "--config", configuration.to_str().unwrap()];
        let mut process = Process::start("tidegate", &command, &self.folder);
        wait_for("the gateway to listen", Duration::from_secs(20), || {
            assert!(process.is_running(), "the gateway ended: {}", process.output());
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
        self.process = Some(process);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    pub fn stop(&mut self) {
        self.process.take().expect("it runs").terminate();
    }
}
