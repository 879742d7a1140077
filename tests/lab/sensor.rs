//! A sensor on a real pty: one JSON object per line, as an Arduino would print it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, ioctl_tiocnxcl, tcgetattr, tcsetattr};

/// A sensor and its end of the line.
#[derive(Debug)]
pub struct Sensor {
    line: File,
    /// Held open so that what is written is not refused while the gateway is dead.
    port: File,
    path: String,
}

impl Sensor {
    pub fn new() -> Sensor {
        let line: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&line).unwrap();
        unlockpt(&line).unwrap();
        let path = ptsname(&line, Vec::new()).unwrap().into_string().unwrap();
        let port = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut settings = tcgetattr(&port).unwrap();
        settings.make_raw();
        tcsetattr(&port, OptionalActions::Now, &settings).unwrap();
        // As on a real line, what nobody reads is lost; it never blocks the sensor.
        fcntl_setfl(&line, OFlags::NONBLOCK).unwrap();
        Sensor { line: line.into(), port, path }
    }

    /// A sensor that waits until its line takes what it says: nothing is lost, and it sets the pace.
    #[allow(dead_code, reason = "made for the bench, which borrows this file")]
    pub fn patient(self) -> Sensor {
        fcntl_setfl(&self.line, OFlags::empty()).unwrap();
        self
    }

    /// What the gateway opens.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Prints reading number `n`.
    pub fn say(&mut self, n: u64) {
        let _ = self.line.write(format!("{{\"n\":{n},\"temperature\":21.5}}\n").as_bytes());
    }

    /// Whoever had the port open is dead: a real port would be free again.
    pub fn freed(&self) {
        ioctl_tiocnxcl(&self.port).unwrap();
    }
}
