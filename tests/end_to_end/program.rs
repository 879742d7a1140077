//! The program as a child process with a configuration and a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far longer than anything takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Log>,
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

    /// The same, in a folder with files that the configuration names.
    pub(crate) fn start_in(folder: TempDir, configuration: &str, environment: &[(&str, &str)]) -> Program {
        configure(folder.path(), configuration);
        let (child, log) = spawn(folder.path(), environment);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let configuration = configuration.to_owned();
        let mut program = Program { address, child, log, folder, configuration };
        let line = program.wait_for_line("listening on 127.");
        let (_, address) = line.rsplit_once("listening on ").unwrap();
        program.address = address.trim().parse().unwrap();
        program
    }

    /// Waits for a log line that contains `text`; it may have been said before.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut log = self.log.text();
        loop {
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {text:?} in the log:\n{log}");
            log = self.log.grown.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Where its configuration and its data are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.text().clone()
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
        panic!("it does not end:\n{}", self.log.text());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the gateway:\n{}", self.log.text());
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

/// What the program has said on stderr.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(folder: &Path, environment: &[(&str, &str)]) -> (Child, Arc<Log>) {
    let mut child = command(folder).envs(environment.iter().copied()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let log = Arc::new(Log::default());
    let written = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let mut text = written.text();
            text.push_str(&line);
            text.push('\n');
            drop(text);
            written.grown.notify_all();
        }
    });
    (child, log)
}
