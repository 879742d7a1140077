//! Keeps listeners open: one that cannot be opened now is tried again for ever, the others serve meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config;
use crate::net::{
    Admittance, Bound, Certificates, Door, Layers, ListenError, Listener, ListenerSettings, Reception,
};
use crate::users::{Users, Verifier};

/// The first pause between attempts; each is twice as long as the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Starts one listener of the configuration, with the door of the one that it follows, if it follows one.
pub(super) fn start(
    listener: &config::Listener,
    reception: &Reception,
    verifier: &Arc<Verifier>,
    door: Option<Arc<Door>>,
) -> KeptListener {
    let door = door.unwrap_or_else(|| Arc::new(Door::new(admittance(listener), Arc::clone(verifier))));
    let certificates = listener.tls.clone().map(|files| Arc::new(Certificates::new(files)));
    let settings = ListenerSettings {
        address: listener.address.clone(),
        layers: Layers {
            proxied: listener.proxy_protocol,
            tls: certificates.clone(),
            websocket: listener.websocket.clone(),
        },
        allow_anonymous: listener.allow_anonymous,
        door: Arc::clone(&door),
        limits: Arc::new(listener.limits.clone()),
    };
    let (sender, state) = watch::channel(ListenerState::Opening);
    let (closing, closed) = oneshot::channel();
    let task = tokio::spawn(keep_open(reception.clone(), settings, sender, closed));
    KeptListener { settings: listener.clone(), certificates, door, state, closing, task }
}

/// Who may come in by a listener. Of a password file that cannot be read, nobody.
pub(super) fn admittance(listener: &config::Listener) -> Admittance {
    let users = listener.password_file.as_ref().map(|path| {
        Arc::new(Users::load(path).unwrap_or_else(|error| {
            tracing::error!("nobody can log in on {}: {error}", listener.address);
            Users::default()
        }))
    });
    Admittance { allow_anonymous: listener.allow_anonymous, users }
}

/// How a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// Not tried yet.
    Opening,
    /// It listens here.
    Open(Bound),
    /// It cannot be opened now; why.
    Failing(String),
}

/// One listener of the configuration. Closed when dropped.
#[derive(Debug)]
pub(super) struct KeptListener {
    settings: config::Listener,
    door: Arc<Door>,
    certificates: Option<Arc<Certificates>>,
    state: watch::Receiver<ListenerState>,
    /// Never sent anything: that it is dropped says all.
    closing: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl KeptListener {
    /// As the configuration has it.
    pub(super) const fn settings(&self) -> &config::Listener {
        &self.settings
    }

    pub(super) const fn door(&self) -> &Arc<Door> {
        &self.door
    }

    pub(super) fn state(&self) -> ListenerState {
        self.state.borrow().clone()
    }

    /// Reads its certificates again.
    pub(super) async fn renew_certificates(&self) {
        let Some(certificates) = self.certificates.clone() else { return };
        // Its outcome is in the log.
        let _ = spawn_blocking(move || certificates.renew(true)).await;
    }

    /// Closes it; its address is free when this returns.
    pub(super) async fn close(self) {
        drop(self.closing);
        // An error says that the task has ended before, and closed it.
        let _ = self.task.await;
        tracing::info!("no longer listening on {}", self.settings.address);
    }

    /// Waits until it listens.
    pub(super) async fn opened(&self) {
        // An error says that its task has ended: it must not be opened, and the log says why.
        let _ = self.state.clone().wait_for(|state| matches!(state, ListenerState::Open(_))).await;
    }
}

async fn keep_open(
    reception: Reception,
    settings: ListenerSettings,
    state: watch::Sender<ListenerState>,
    mut closing: oneshot::Receiver<()>,
) {
    let listener = tokio::select! {
        _ = &mut closing => return,
        listener = open(&reception, &settings, &state) => listener,
    };
    if let Some(listener) = listener {
        let _ = closing.await;
        listener.close().await;
    }
}

/// Tries until it is open; nothing when it must not be.
async fn open(
    reception: &Reception,
    settings: &ListenerSettings,
    state: &watch::Sender<ListenerState>,
) -> Option<Listener> {
    let mut pause = PAUSE;
    loop {
        match reception.listen(settings.clone()) {
            Ok(listener) => {
                tracing::info!("listening on {}", listener.bound());
                state.send_replace(ListenerState::Open(listener.bound().clone()));
                return Some(listener);
            }
            Err(error) => {
                let first = !matches!(*state.borrow(), ListenerState::Failing(_));
                if first {
                    tracing::error!("{error}; it is tried again until it can be opened");
                }
                let forbidden = matches!(error, ListenError::NotAllowed(_));
                state.send_replace(ListenerState::Failing(error.to_string()));
                if forbidden {
                    return None;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
