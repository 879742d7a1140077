//! The thread of the uplinks.
//!
//! One that drains a backlog and the journal's thread keep two processors busy; on threads that are shared with others
//! it would wander from one to the other with every batch. Knows nothing of what runs on it.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The running thread. It ends, with everything that still runs on it, soon after this is dropped.
#[derive(Debug)]
pub struct UplinkThread {
    handle: Handle,
    /// Never sent anything: that it is dropped says all.
    _ends: oneshot::Sender<()>,
}

impl UplinkThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread or no descriptors left.
    pub fn start() -> io::Result<UplinkThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel();
        thread::Builder::new().name("uplinks".to_owned()).spawn(move || {
            // An error is the sender's end, which is what is waited for.
            let _ = runtime.block_on(ended);
            // A name that is being looked up must not hold anybody up.
            runtime.shutdown_background();
        })?;
        Ok(UplinkThread { handle, _ends: ends })
    }

    /// Where tasks for it are spawned.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}
