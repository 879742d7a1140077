//! Accepts connections and gives each a task. Never reads from them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::admission::Admissions;
use super::connection::{self, Shared};
use super::inbox::{Batch, Inbox};
use super::{Admittance, Counters, Door, Stopped};
use crate::broker::{ConnectionId, Input};
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
    /// Of all listeners together.
    max_connections: usize,
}

impl Reception {
    pub(super) fn new(inbox: Inbox, max_connections: usize) -> Reception {
        Reception {
            inbox,
            counters: Arc::default(),
            next_connection: Arc::default(),
            connections: Arc::default(),
            max_connections,
        }
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
        let wanted = settings.address;
        if !wanted.ip().is_loopback() && !settings.allow_anonymous && !settings.door.knows_users() {
            return Err(ListenError::NotAllowed(wanted));
        }
        let listener = open(wanted).map_err(|error| ListenError::System(wanted, error))?;
        let address = listener.local_addr().map_err(|error| ListenError::System(wanted, error))?;
        let task = tokio::spawn(accept_all(listener, self.clone(), settings));
        Ok(Listener { address, task })
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

async fn accept_all(listener: TcpListener, reception: Reception, settings: ListenerSettings) {
    let ListenerSettings { door, limits, .. } = settings;
    let admissions = Admissions::new(Arc::clone(&reception.connections), reception.max_connections);
    let inbox = reception.inbox.clone();
    let shared = Arc::new(Shared { inbox, door, limits, counters: Arc::clone(&reception.counters) });
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let admission = match admissions.admit(Some(address.ip()), &shared.limits) {
            Ok(admission) => admission,
            Err(refusal) => {
                if let Some(count) = reception.counters.count_refused(refusal) {
                    let label = refusal.label();
                    tracing::warn!("{count} connections were refused, the last from {address}: {label}");
                }
                continue;
            }
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
