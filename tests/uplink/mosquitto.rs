//! Debian's mosquitto as the server of an uplink, on a port of the system's choice, with a session store.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Mosquitto {
    program: PathBuf,
    folder: tempfile::TempDir,
    process: Option<Child>,
    pub port: u16,
}

impl Mosquitto {
    /// A running server; `None`, and the skip counted, where mosquitto is not installed.
    pub fn start(test: &str) -> Option<Mosquitto> {
        let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
        let Some(program) = places.iter().map(PathBuf::from).find(|path| path.exists()) else {
            skip(&format!("{test}: mosquitto is not installed"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own_name = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser {own_name}\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 0\nmax_inflight_messages 100\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), configuration).unwrap();
        let mut mosquitto = Mosquitto { program, folder, process: None, port };
        mosquitto.up();
        Some(mosquitto)
    }

    /// Starts it, and waits until it takes connections.
    pub fn up(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let process = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
    }

    /// Ends it as an administrator would: it stores its sessions.
    pub fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let number = process.id().to_string();
            Command::new("kill").arg("-TERM").arg(number).status().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Says that a test could not run here, where `.ci/run` counts it.
pub fn skip(reason: &str) {
    eprintln!("SKIPPED {reason}");
    if let Some(path) = std::env::var_os("TIDEGATE_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{reason}");
    }
}
