//! Debian's mosquitto as the cloud's broker, with its sessions kept over a restart.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::namespace::Namespace;
use crate::process::Process;
use crate::rig::{free_port, wait_for};

/// A cloud broker that can be stopped and started again.
#[derive(Debug)]
pub struct Upstream {
    folder: PathBuf,
    pub port: u16,
    process: Option<Process>,
}

impl Upstream {
    /// Starts on a port of the system's choice, in a namespace if there is one.
    pub fn start(folder: &Path, namespace: Option<&Namespace>) -> Upstream {
        let port = free_port();
        let address = if namespace.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        let store = folder.join("mosquitto");
        fs::create_dir(&store).unwrap();
        let owner = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
        let configuration = format!(
            "listener {port} {address}\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nmax_inflight_messages 0\n{owner}",
            store.display()
        );
        fs::write(folder.join("mosquitto.conf"), configuration).unwrap();
        let mut upstream = Upstream { folder: folder.to_owned(), port, process: None };
        upstream.start_again(namespace);
        upstream
    }

    pub fn start_again(&mut self, namespace: Option<&Namespace>) {
        let configuration = self.folder.join("mosquitto.conf");
        let plain = ["mosquitto", "-c", configuration.to_str().unwrap()];
        let command = namespace.map_or(plain.to_vec(), |namespace| namespace.inside(&plain));
        self.process = Some(Process::start("mosquitto", &command, &self.folder));
        let address = namespace.map_or(Ipv4Addr::LOCALHOST, Namespace::observed_address);
        let address = SocketAddrV4::new(address, self.port).into();
        wait_for("mosquitto to listen", Duration::from_secs(10), || {
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        });
    }

    /// Ends it as an operator would: it saves what it has acknowledged.
    pub fn stop(&mut self) {
        self.process.take().expect("it runs").terminate();
    }
}
