//! Accepts connections and gives each a task. Never reads from them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Counters;
use super::connection::{self, Shared};
use super::inbox::Inbox;
use crate::broker::ConnectionId;
use crate::limits::Limits;

/// Connections that the system holds until they are accepted.
const ACCEPT_QUEUE: i32 = 1024;
/// After a failed accept: the system is out of something, and it takes a while until there is more.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// What the broker knows of a listener.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Where it listens; port 0: the system chooses.
    pub address: SocketAddr,
    /// Whether clients may come without a name. Without it only loopback addresses can be listened on, as long
    /// as there are no passwords.
    pub allow_anonymous: bool,
    /// The bounds of its connections.
    pub limits: Limits,
}

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It would be open to everybody, and nobody said so.
    #[error(
        "{0} is not a loopback address: without `allow_anonymous = true` in its [[listener]] it stays closed"
    )]
    NotAllowed(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {0}: {1}")]
    System(SocketAddr, #[source] io::Error),
}

/// An open listener. Dropping it stops accepting; connections go on.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
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
    counters: Arc<Counters>,
    next_connection: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Admission(Arc<AtomicUsize>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reception {
    pub(super) fn new(inbox: Inbox) -> Reception {
        Reception {
            inbox,
            counters: Arc::default(),
            next_connection: Arc::default(),
            connections: Arc::default(),
        }
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
        let wanted = settings.address;
        if !wanted.ip().is_loopback() && !settings.allow_anonymous {
            return Err(ListenError::NotAllowed(wanted));
        }
        let listener = open(wanted).map_err(|error| ListenError::System(wanted, error))?;
        let address = listener.local_addr().map_err(|error| ListenError::System(wanted, error))?;
        let task = tokio::spawn(accept_all(listener, self.clone(), settings.limits));
        Ok(Listener { address, task })
    }

    fn admit(&self, max_connections: usize) -> Option<Admission> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let admission = Admission(Arc::clone(&self.connections));
        (before < max_connections).then_some(admission)
    }
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    TcpListener::from_std(socket.into())
}

async fn accept_all(listener: TcpListener, reception: Reception, limits: Limits) {
    let max_connections = limits.max_connections;
    let inbox = reception.inbox.clone();
    let shared = Arc::new(Shared { inbox, limits, counters: Arc::clone(&reception.counters) });
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let Some(admission) = reception.admit(max_connections) else {
            reception.counters.count_refused();
            tracing::debug!(%address, "refused: there are max_connections already");
            continue;
        };
        // Packets are written whole: waiting for more to send would only add delay.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "gone before it was served");
            continue;
        }
        let id = ConnectionId(reception.next_connection.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(connection::serve(id, stream, address, Arc::clone(&shared), admission));
    }
}
