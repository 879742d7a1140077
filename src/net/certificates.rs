//! The certificates of a listener: read at its start, renewed while it runs.
//!
//! What was renewed counts for connections that come from then on; those that are there are not touched. New files
//! that cannot be used change nothing but the log.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use tokio::task::spawn_blocking;

use crate::stream::{ServerTls, TlsFileError, certificate_ends_at};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// From then on before the end of a certificate the log warns of it.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The certificates of one listener.
#[derive(Debug)]
pub struct Certificates {
    files: ServerTls,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<ServerConfig>>,
    /// What the files looked like when they were last read, with whatever outcome.
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl Certificates {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(files: ServerTls) -> Certificates {
        Certificates { files, state: Mutex::default() }
    }

    pub(super) const fn files(&self) -> &ServerTls {
        &self.files
    }

    /// What new connections get; reads the files when that has not been done.
    pub(super) fn current(&self) -> Result<Arc<ServerConfig>, TlsFileError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &state.current {
            return Ok(Arc::clone(current));
        }
        state.seen = self.stamps();
        let loaded = self.files.load()?;
        self.warn_of_end();
        state.current = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Reads the files again if they changed, or in any case.
    pub fn renew(&self, in_any_case: bool) {
        let stamps = self.stamps();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.current.is_none() || (!in_any_case && state.seen == stamps) {
            return;
        }
        state.seen = stamps;
        match self.files.load() {
            Ok(loaded) => {
                state.current = Some(loaded);
                tracing::info!("new connections get the certificate {}", self.files);
                self.warn_of_end();
            }
            // Half of a pair may be written already: the other half changes the stamps again.
            Err(error) => tracing::warn!("the certificates stay as they are: {error}"),
        }
    }

    /// Notices changed files, for ever.
    pub(super) async fn keep_renewed(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let certificates = Arc::clone(&self);
            let _ = spawn_blocking(move || certificates.renew(false)).await;
        }
    }

    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let stamp = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        self.files.files().map(stamp).collect()
    }

    fn warn_of_end(&self) {
        let Some(end) = std::fs::read(&self.files.cert).ok().and_then(|pem| certificate_ends_at(&pem)) else {
            return;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = Duration::from_secs(u64::try_from(end).unwrap_or_default());
        if end < now {
            tracing::warn!("the certificate {} has expired: clients will refuse it", self.files);
        } else if end < now + WARN_BEFORE {
            let days = (end - now).as_secs() / 86_400;
            tracing::warn!("the certificate {} expires in {days} days", self.files);
        }
    }
}
