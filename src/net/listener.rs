//! Accepts connections and gives each a task. Never reads from them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::admission::{Admission, Admissions};
use super::connect_rate::ConnectRate;
use super::connection::Shared;
use super::endpoint::{Bound, Endpoint, ListenAddress};
use super::gate::{Caller, Layers, name_of};
use super::inbox::{Batch, Inbox};
use super::introduction;
use super::switchboard::Switchboard;
use super::{Admittance, Counters, Door, Refusal, Stopped};
use crate::broker::{ConnectionId, Input};
use crate::limits::Limits;
use crate::stream::{Socket, Stream, TlsFileError};

/// After a failed accept: the system is out of something, and it takes a while until there is more.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// What the broker knows of a listener.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: ListenAddress,
    /// What lies between its sockets and MQTT.
    pub layers: Layers,
    /// Whether clients may come without a name. Without it only local addresses can be listened on, as long as
    /// there are no passwords and not everybody has to show a certificate.
    pub allow_anonymous: bool,
    /// Who may come in.
    pub door: Arc<Door>,
    /// The bounds of its connections.
    pub limits: Arc<Limits>,
}

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It would be open to everybody, and nobody said so.
    #[error(
        "{0} is not a loopback address: without `allow_anonymous = true` in its [[listener]], or users, it stays closed"
    )]
    NotAllowed(Bound),
    /// The system refuses.
    #[error("cannot listen on {0}: {1}")]
    System(ListenAddress, #[source] io::Error),
    /// Its certificates cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Certificates(ListenAddress, #[source] TlsFileError),
}

/// An open listener. Dropping it stops accepting; connections go on.
#[derive(Debug)]
pub struct Listener {
    bound: Bound,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all listeners have in common: the way to the broker, the names and the number of connections.
#[derive(Debug, Clone)]
pub struct Reception {
    inbox: Inbox,
    switchboard: Arc<Switchboard>,
    counters: Arc<Counters>,
    next_connection: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
    /// Of all listeners together.
    max_connections: usize,
    /// Where listeners and connections run.
    runtime: Handle,
}

impl Reception {
    /// # Errors
    /// When the system has no descriptors left.
    pub(super) fn new(inbox: Inbox, max_connections: usize, runtime: Handle) -> io::Result<Reception> {
        Ok(Reception {
            inbox,
            switchboard: Arc::new(Switchboard::start(&runtime)?),
            counters: Arc::default(),
            next_connection: Arc::default(),
            connections: Arc::default(),
            max_connections,
            runtime,
        })
    }

    /// Lets others in by a door from now on, and shows out who would not be let in any more; how many these are.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn change(&self, door: &Door, admittance: Admittance) -> Result<usize, Stopped> {
        let leaving = door.change(admittance);
        let count = leaving.len();
        // By the way that their CONNECT has gone: the broker has heard of them then.
        for (connection, reason) in leaving {
            let inputs = vec![Input::Expel { connection, reason }];
            self.inbox.send(Batch { opened: None, inputs }).await?;
        }
        Ok(count)
    }

    /// What the connections count.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Opens a listener.
    ///
    /// # Errors
    /// When it must not or cannot be opened.
    pub fn listen(&self, settings: ListenerSettings) -> Result<Listener, ListenError> {
        let ListenerSettings { address, layers, .. } = &settings;
        let system = |error| ListenError::System(address.clone(), error);
        if let Some(certificates) = &layers.tls {
            certificates.current().map_err(|error| ListenError::Certificates(address.clone(), error))?;
        }
        let allowed = settings.allow_anonymous || settings.door.knows_users() || layers.name_users();
        if let ListenAddress::Tcp(tcp) = address
            && !allowed
            && !address.is_local()
        {
            return Err(ListenError::NotAllowed(Bound::Tcp(*tcp)));
        }
        // What is opened belongs to the thread on which it will be used.
        let on_its_thread = self.runtime.enter();
        let endpoint = Endpoint::open(address).map_err(system)?;
        drop(on_its_thread);
        let bound = endpoint.bound().map_err(system)?;
        // Where systemd listens is known only now.
        if !allowed && !bound.is_local() {
            return Err(ListenError::NotAllowed(bound));
        }
        let task = self.runtime.spawn(accept_all(endpoint, self.clone(), settings));
        Ok(Listener { bound, task })
    }
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Closes it: its address is free when this returns.
    pub async fn close(mut self) {
        self.task.abort();
        // An error is what was asked for: the task was cut short.
        let _ = (&mut self.task).await;
    }
}

/// What the tasks of all connections of a listener share.
struct Entry {
    layers: Layers,
    shared: Arc<Shared>,
}

async fn accept_all(endpoint: Endpoint, reception: Reception, settings: ListenerSettings) {
    let ListenerSettings { layers, door, limits, .. } = settings;
    let admissions = Admissions::new(Arc::clone(&reception.connections), reception.max_connections);
    let inbox = reception.inbox.clone();
    let switchboard = Arc::clone(&reception.switchboard);
    let connects = ConnectRate::new(limits.max_connects_per_second, std::time::Instant::now());
    let counters = Arc::clone(&reception.counters);
    let shared = Arc::new(Shared { inbox, switchboard, door, limits, connects, counters });
    let _renewal = layers.tls.clone().map(|certificates| Renewal(tokio::spawn(certificates.keep_renewed())));
    let entry = Arc::new(Entry { layers, shared });
    loop {
        let (socket, address) = match endpoint.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        // Behind a proxy all come from the proxy's address.
        let counted = address.filter(|_| !entry.layers.proxied).map(|address| address.ip());
        let admission = match admissions.admit(counted, &entry.shared.limits) {
            Ok(admission) => admission,
            Err(refusal) => {
                entry.note(refusal, address);
                continue;
            }
        };
        // Packets are written whole: waiting for more to send would only add delay.
        if let Socket::Tcp(stream) = &socket
            && let Err(error) = stream.set_nodelay(true)
        {
            tracing::debug!(?address, %error, "gone before it was served");
            continue;
        }
        let id = ConnectionId(reception.next_connection.fetch_add(1, Ordering::Relaxed));
        if entry.layers.are_none() {
            let caller = Caller { stream: Stream::Plain(socket), address, user: None };
            tokio::spawn(introduction::serve(id, caller, Arc::clone(&entry.shared), admission));
        } else {
            tokio::spawn(let_in(id, socket, address, Arc::clone(&entry), admission));
        }
    }
}

/// Serves a connection once it is through the gate.
async fn let_in(
    id: ConnectionId,
    socket: Socket,
    address: Option<SocketAddr>,
    entry: Arc<Entry>,
    admission: Admission,
) {
    // Boxed: handshakes need room that a connection does not need later.
    match Box::pin(entry.layers.pass(socket, address)).await {
        Ok(caller) => introduction::serve(id, caller, Arc::clone(&entry.shared), admission).await,
        Err(reason) => {
            entry.note(Refusal::Handshake, address);
            tracing::debug!("turned away from {}: {reason}", name_of(address));
        }
    }
}

impl Entry {
    /// Counts a refusal, and says so now and then.
    fn note(&self, refusal: Refusal, address: Option<SocketAddr>) {
        if let Some(count) = self.shared.counters.count_refused(refusal) {
            let (label, from) = (refusal.label(), name_of(address));
            tracing::warn!("{count} connections were refused, the last from {from}: {label}");
        }
    }
}

/// Looks for renewed certificates as long as the listener is there.
struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}
