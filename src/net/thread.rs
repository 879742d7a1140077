//! The thread of the broker, its listeners and its connections.
//!
//! They hand something to each other with every message: on one thread that costs no wake-up of another. It is a
//! thread of their own so that a storm of handshakes never keeps a sensor or an uplink waiting, nor they it. Knows
//! nothing of what runs on it.

use std::io;
use std::thread;
use std::time::Instant;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::pace;
use crate::time::Instant as Moment;

/// The running thread. It ends, with everything that still runs on it, soon after this is dropped.
#[derive(Debug)]
pub struct BrokerThread {
    handle: Handle,
    /// Never sent anything: that it is dropped says all.
    _ends: oneshot::Sender<()>,
}

impl BrokerThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread or no descriptors left.
    pub fn start() -> io::Result<BrokerThread> {
        let began = Instant::now();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || {
                let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let nap = pace::rest(Moment::from_nanos(nanos));
                if !nap.is_zero() {
                    thread::sleep(nap);
                }
            })
            .build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel();
        thread::Builder::new().name("broker".to_owned()).spawn(move || {
            // An error is the sender's end, which is what is waited for.
            let _ = runtime.block_on(ended);
        })?;
        Ok(BrokerThread { handle, _ends: ends })
    }

    /// Where tasks for it are spawned.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}
