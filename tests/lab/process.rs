//! Child processes that never outlive their test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::rig::wait_for;

/// A running child; dropped, it is killed. Its output goes to a file, which a panicking test shows.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`, its output in `folder`. Should the test's process be killed, the child dies with it.
    pub fn start(name: &str, command: &[&str], folder: &Path) -> Process {
        let output = folder.join(format!("{name}.log"));
        let file = File::options().append(true).create(true).open(&output).unwrap();
        let mut all = vec!["setpriv", "--pdeathsig", "KILL", "--"];
        all.extend(command);
        let child = Command::new(all[0])
            .args(&all[1..])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { name: name.to_owned(), child, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(mut self) {
        assert!(self.is_running(), "{} ended before it was killed", self.name);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(mut self) {
        let id = Pid::from_raw(self.id().cast_signed()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        wait_for(&format!("{} to end", self.name), Duration::from_secs(10), || {
            self.child.try_wait().unwrap()
        });
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- the end of what {} said:\n{last}", self.name);
        }
    }
}
