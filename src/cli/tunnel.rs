//! A way for the commands' MQTT client through TLS, WebSocket and proxies: a Unix socket that only we can reach.
//!
//! rumqttc's own TLS is not used: see docs/decisions/0006-crates.md.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::stream::{Route, Url};

/// An open tunnel. Closed when dropped.
pub(super) struct Tunnel {
    folder: PathBuf,
    failure: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Tunnel {
    /// Every connection to [`Tunnel::path`] goes on to the server.
    pub(super) fn open(url: Url, route: Route) -> anyhow::Result<Tunnel> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tidegate-{}-{number}", std::process::id()));
        // Fails when it is there already: nobody prepares a folder for us.
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        let listener = UnixListener::bind(folder.join("s")).context("cannot make a socket")?;
        let failure = Arc::new(Mutex::new(None));
        let task = tokio::spawn(pass_on(listener, url, route, Arc::clone(&failure)));
        Ok(Tunnel { folder, failure, task })
    }

    pub(super) fn path(&self) -> String {
        self.folder.join("s").to_string_lossy().into_owned()
    }

    /// Why the last connection failed, in words; shared.
    pub(super) fn failure(&self) -> Arc<Mutex<Option<String>>> {
        Arc::clone(&self.failure)
    }
}

async fn pass_on(listener: UnixListener, url: Url, route: Route, failure: Arc<Mutex<Option<String>>>) {
    while let Ok((mut ours, _)) = listener.accept().await {
        let outcome = match route.open(&url).await {
            Ok(mut theirs) => match copy_bidirectional(&mut ours, &mut theirs).await {
                Ok(_) => None,
                Err(error) => Some(crate::stream::in_words(&error)),
            },
            Err(words) => Some(words),
        };
        // Before our side closes, so that who notices finds the reason.
        *failure.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}
