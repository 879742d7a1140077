//! Simulated sensors: they write real bytes to a real pseudo-terminal, so that all that follows is the real thing.
//!
//! Every reading of a sensor carries its number, spread over the values that such a sensor has; what was sent can
//! so be compared with what arrived anywhere, without asking the gateway.

mod device;
mod meter;
mod pty;

pub use device::Kind;
pub use pty::Pty;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// A sensor that runs until it is stopped. To drop it is to unplug it: what nobody has read yet is lost.
#[derive(Debug)]
pub struct Simulated {
    kind: Kind,
    link: PathBuf,
    pty: Arc<Pty>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Simulated {
    /// A sensor behind a port of the name `link`, a symbolic link that is replaced if it is there. It begins with
    /// reading number `first`, and sends one every `every`; one that is polled answers whenever it is asked.
    ///
    /// # Errors
    /// When there is no pseudo-terminal to be had, or the link cannot be made.
    pub fn start(kind: Kind, link: &Path, first: u64, every: Duration) -> io::Result<Simulated> {
        let mut pty = Pty::open()?;
        pty.link(link)?;
        let sent = Arc::new(AtomicU64::new(first));
        let pty = Arc::new(pty);
        let (end, log) = (Arc::clone(&pty), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            // A sensor whose port broke is silent, like any other.
            let _ = run(kind, &end, &log, every).await;
        });
        Ok(Simulated { kind, link: link.to_owned(), pty, sent, task })
    }

    /// What kind of sensor it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of its port.
    #[must_use]
    pub fn port(&self) -> &Path {
        &self.link
    }

    /// The number of the next reading: those from the first up to it, not included, were sent.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The device's end of its port.
    #[must_use]
    pub fn pty(&self) -> &Pty {
        &self.pty
    }

    /// Stops sending; returns the number of the reading that would have been next. It stays plugged in: what was
    /// sent can still be read.
    pub async fn stop(&mut self) -> u64 {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.next_number()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(kind: Kind, pty: &Pty, sent: &AtomicU64, every: Duration) -> io::Result<()> {
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = Vec::new();
    loop {
        match kind.request() {
            Some(request) => {
                pty.read(&mut asked).await?;
                while let Some(at) = asked.windows(request.len()).position(|bytes| bytes == request) {
                    asked.drain(..at + request.len());
                    send(kind, pty, sent).await?;
                }
                let kept = asked.len().saturating_sub(request.len());
                asked.drain(..kept);
            }
            None => {
                beat.tick().await;
                send(kind, pty, sent).await?;
            }
        }
    }
}

/// A frame is counted when its last byte is written: one that is cut short is no reading.
async fn send(kind: Kind, pty: &Pty, sent: &AtomicU64) -> io::Result<()> {
    let number = sent.load(Ordering::SeqCst);
    pty.write_all(&kind.frame(number)).await?;
    sent.store(number + 1, Ordering::SeqCst);
    Ok(())
}
