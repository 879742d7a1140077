//! Debian's mosquitto as the cloud, with listeners of every kind on ports of the system's choice.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::skip;

/// A running mosquitto; killed when dropped.
pub(crate) struct Mosquitto {
    folder: PathBuf,
    configuration: String,
    /// Anonymous and in the clear: for observers.
    pub(crate) port: u16,
    process: Option<Child>,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Mosquitto {
    /// `more` is appended to its configuration; `None`, and the skip counted, where it is not installed.
    pub(crate) fn start(folder: &Path, more: &str) -> Option<Mosquitto> {
        let mut mosquitto = Mosquitto::prepare(folder, more)?;
        mosquitto.up();
        Some(mosquitto)
    }

    /// The same, not running yet.
    pub(crate) fn prepare(folder: &Path, more: &str) -> Option<Mosquitto> {
        if !Path::new("/usr/sbin/mosquitto").exists() {
            skip("mosquitto is not installed");
            return None;
        }
        let port = free_port();
        let own_name = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let configuration =
            format!("allow_anonymous true\nuser {own_name}\nlistener {port} 127.0.0.1\n{more}");
        Some(Mosquitto { folder: folder.to_owned(), configuration, port, process: None })
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) fn up(&mut self) {
        let file = self.folder.join(format!("mosquitto-{}.conf", self.port));
        std::fs::write(&file, &self.configuration).unwrap();
        let log = std::fs::File::create(file.with_extension("log")).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        let process =
            command.arg("-v").arg("-c").arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.process = Some(process);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{}", std::fs::read_to_string(file.with_extension("log")).unwrap());
    }

    pub(crate) fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts with another configuration behind its first listener.
    pub(crate) fn restart_with(&mut self, more: &str) {
        self.down();
        let listener = format!("listener {} 127.0.0.1\n", self.port);
        let end = self.configuration.find(&listener).unwrap() + listener.len();
        self.configuration.truncate(end);
        self.configuration.push_str(more);
        self.up();
    }

    /// What arrives from now on.
    pub(crate) fn observe(&self) -> Observer {
        let port = self.port.to_string();
        let mut child = Command::new("stdbuf")
            .args([
                "-oL",
                "mosquitto_sub",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-t",
                "#",
                "-d",
                "-F",
                "got: %t %p",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut observer = Observer { child, lines };
        observer.wait_for("Subscribed (mid");
        observer
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.down();
    }
}

/// `mosquitto_sub` on everything.
pub(crate) struct Observer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Observer {
    /// Waits for a line with this text.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "mosquitto_sub ended without {text:?}");
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
