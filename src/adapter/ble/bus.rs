//! A connection to D-Bus that can be ended: the task that reads it has no handle, so it gets a runtime of its own.
//!
//! Without this every connection that is given up, since bluetoothd hangs, would stay open for as long as the gateway
//! runs.

use std::io;

use dbus::channel::MatchingReceiver as _;
use dbus::message::{MatchRule, Message};
use dbus::nonblock::SyncConnection;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Where the task of one connection runs. Ends it when dropped.
#[derive(Debug)]
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn new() -> io::Result<OwnRuntime> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(1).thread_name("d-bus").enable_all();
        builder.build().map(|runtime| OwnRuntime(Some(runtime)))
    }

    /// Runs what connects: whatever task it starts runs here.
    pub(super) async fn connect<T: Send + 'static>(
        &self,
        connecting: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        match &self.0 {
            Some(runtime) => runtime.spawn(connecting).await.map_err(io::Error::other),
            None => Err(io::Error::other("the runtime has ended")),
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop would wait, which nobody may who drops a task.
            runtime.shutdown_background();
        }
    }
}

/// Tells each time when a service of the system's bus is another process than before, over a connection of its own.
/// The answer ends with that connection.
pub(super) async fn owners(service: &'static str) -> Result<watch::Receiver<u64>, dbus::Error> {
    let (reading, connection) = dbus_tokio::connection::new_system_sync()?;
    tokio::spawn(reading);
    let (changes, changed) = watch::channel(0);
    let signal = MatchRule::new_signal("org.freedesktop.DBus", "NameOwnerChanged");
    let tell = move |message: Message, _: &SyncConnection| {
        // The name, who had it, who has it now.
        if let Ok((name, _, now)) = message.read3::<String, String, String>()
            && name == service
            && !now.is_empty()
        {
            changes.send_modify(|changes| *changes += 1);
        }
        true
    };
    connection.start_receive(signal.static_clone(), Box::new(tell));
    let wanted = format!(
        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
         member='NameOwnerChanged',arg0='{service}'"
    );
    connection.add_match_no_cb(&wanted).await?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_was_started_ends_with_the_runtime() {
        let own = OwnRuntime::new().unwrap();
        let kept = Arc::new(());
        let held = Arc::clone(&kept);
        own.connect(async move {
            tokio::spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
        })
        .await
        .unwrap();
        assert_eq!(Arc::strong_count(&kept), 2);
        drop(own);
        while Arc::strong_count(&kept) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
