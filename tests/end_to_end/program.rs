//! The program as a child process with a configuration and a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far longer than anything takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
    folder: TempDir,
    configuration: String,
}

impl Program {
    /// Starts a gateway with one listener on a port of the system's choice, and waits until it listens.
    pub(crate) fn start(configuration: &str) -> Program {
        Program::start_with(configuration, &[])
    }

    /// The same, with environment variables.
    pub(crate) fn start_with(configuration: &str, environment: &[(&str, &str)]) -> Program {
        Program::start_in(tempfile::tempdir().unwrap(), configuration, environment)
    }

    fn start_in(folder: TempDir, configuration: &str, environment: &[(&str, &str)]) -> Program {
        configure(folder.path(), configuration);
        let (child, lines, log) = spawn(folder.path(), environment);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let configuration = configuration.to_owned();
        let mut program = Program { address, child, lines, log, folder, configuration };
        let line = program.wait_for_line("listening on ");
        let (_, address) = line.rsplit_once("listening on ").unwrap();
        program.address = address.trim().parse().unwrap();
        program
    }

    /// Whether a line of the log so far contains `text`.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.log.lock().unwrap().contains(text)
    }

    /// Waits for a log line that contains `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {text:?} in the log:\n{}", self.log.lock().unwrap())
                }
            }
        }
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        kill_process(process, signal).unwrap();
    }

    /// `kill -9`, then a new start in the same folder.
    pub(crate) fn kill_and_start_again(mut self) -> Program {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let configuration = std::mem::take(&mut self.configuration);
        drop(self);
        Program::start_in(folder, &configuration, &[])
    }

    /// Writes another configuration, which counts from the next SIGHUP on.
    pub(crate) fn reconfigure(&self, configuration: &str) {
        configure(self.folder.path(), configuration);
    }

    /// Starts the program once more with the same configuration, and waits for its end.
    pub(crate) fn run_another(&self) -> std::io::Result<Output> {
        command(self.folder.path()).output()
    }

    /// Asks it to end, as systemd does, and gives its exit status and how long that took.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, asked.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end:\n{}", self.log.lock().unwrap());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the gateway:\n{}", self.log.lock().unwrap());
        }
    }
}

fn configure(folder: &Path, configuration: &str) {
    let text = format!(
        "[gateway]\nid = \"gw\"\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{configuration}"
    );
    std::fs::write(folder.join("tidegate.toml"), text).unwrap();
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["run", "--config"]).arg(folder.join("tidegate.toml"));
    command.env("TIDEGATE_LOG", "debug").env("NO_COLOR", "1").stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

type Spawned = (Child, Receiver<String>, Arc<Mutex<String>>);

fn spawn(folder: &Path, environment: &[(&str, &str)]) -> Spawned {
    let mut child = command(folder).envs(environment.iter().copied()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = channel();
    let log = Arc::new(Mutex::new(String::new()));
    let copy = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let mut copy = copy.lock().unwrap();
            copy.push_str(&line);
            copy.push('\n');
            drop(copy);
            let _ = sender.send(line);
        }
    });
    (child, lines, log)
}
