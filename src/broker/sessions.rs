//! Sessions, and how to find them: by client, by connection, by consumer.
//!
//! A session is the broker's side of one client: subscriptions, inbound and outbound state, and what waits for
//! it. It lives with its connection, or longer when the client asked for it; then it has a [`Backlog`] in the
//! journal. Data only: what happens to it is decided in the other rooms.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashTable;
use slab::Slab;

use crate::durable::{ConsumerId, SubscriptionState};
use crate::flow::{Inbound, Outbound};
use crate::limits::Limits;
use crate::mqtt::{ProtocolVersion, TopicFilter, Will};
use crate::time::Instant;

use super::ConnectionId;
use super::access::Permissions;
use super::backlog::Backlog;
use super::connection::Connection;
use super::hash::NumberMap;
use super::queue::Queue;
use super::sending::InFlight;
use super::shared::Membership;

/// Where a session lies in [`Sessions`]; used again when it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionKey(u32);

/// The state of one client (section 4.1).
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: ByteString,
    pub(super) user: Option<ByteString>,
    /// The standard that the client spoke last.
    pub(super) version: ProtocolVersion,
    /// Seconds that it outlives its connection; `u32::MAX`: for ever.
    pub(super) expiry_interval_seconds: u32,
    pub(super) link: Link,
    pub(super) subscriptions: BTreeMap<TopicFilter, SubscriptionState>,
    /// What the client sends.
    pub(super) inbound: Inbound,
    /// What is sent to the client and not yet acknowledged.
    pub(super) outbound: Outbound<InFlight>,
    /// What waits in memory for window or socket.
    pub(super) waiting_to_be_sent: Queue,
    /// What waits in the journal; `None` for a session that ends with its connection.
    pub(super) backlog: Option<Box<Backlog>>,
    pub(super) will: Option<Box<Will>>,
    /// Its part in shared subscriptions, if it ever had any.
    pub(super) membership: Option<Box<Membership>>,
    /// What its client may do.
    pub(super) permissions: Permissions,
    /// The bounds of the listener that its client came by last.
    pub(super) limits: Arc<Limits>,
}

/// Whether the client is there.
#[derive(Debug)]
pub(super) enum Link {
    /// It is.
    Online(Box<Connection>),
    /// It is not.
    Offline(Offline),
}

/// A session without a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offline {
    /// Whether the journal was told.
    pub(super) recorded: bool,
    /// When the will is published.
    pub(super) will_at: Option<Instant>,
    /// When the session ends.
    pub(super) expires_at: Option<Instant>,
}

impl Offline {
    /// The next of its two deadlines.
    pub(super) fn next(&self) -> Option<Instant> {
        match (self.will_at, self.expires_at) {
            (Some(will_at), Some(expires_at)) => Some(will_at.min(expires_at)),
            (one, other) => one.or(other),
        }
    }
}

impl Session {
    pub(super) fn connection(&self) -> Option<&Connection> {
        match &self.link {
            Link::Online(connection) => Some(connection),
            Link::Offline(_) => None,
        }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.link {
            Link::Online(connection) => Some(connection),
            Link::Offline(_) => None,
        }
    }

    pub(super) fn consumer(&self) -> Option<ConsumerId> {
        self.backlog.as_ref().map(|backlog| backlog.consumer)
    }
}

/// What a connection that is not yet gone belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// A session.
    To(SessionKey),
    /// Nothing any more: it is being closed, what it still says is not heard.
    Closing,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Slab<Session>,
    by_client: HashTable<SessionKey>,
    /// Clients choose their names: a seed of our own keeps them from choosing their places.
    client_hash: RandomState,
    by_connection: NumberMap<ConnectionId, Attached>,
    by_consumer: NumberMap<ConsumerId, SessionKey>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Connections that are not yet gone.
    pub(super) fn connections(&self) -> usize {
        self.by_connection.len()
    }

    pub(super) fn insert(&mut self, session: Session) -> SessionKey {
        assert!(self.by_client(&session.client_id).is_none(), "a client has one session");
        let hash = self.client_hash.hash_one(&*session.client_id);
        let consumer = session.consumer();
        let Ok(number) = u32::try_from(self.all.insert(session)) else {
            unreachable!("sessions are bounded");
        };
        let key = SessionKey(number);
        let Sessions { all, by_client, client_hash, .. } = self;
        by_client.insert_unique(hash, key, |key| hash_of(client_hash, all, *key));
        if let Some(consumer) = consumer {
            self.by_consumer.insert(consumer, key);
        }
        key
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Session {
        let Some(session) = self.all.try_remove(key.index()) else {
            unreachable!("a session ends once");
        };
        let hash = self.client_hash.hash_one(&*session.client_id);
        if let Ok(entry) = self.by_client.find_entry(hash, |entry| *entry == key) {
            entry.remove();
        }
        if let Some(consumer) = session.consumer() {
            self.by_consumer.remove(&consumer);
        }
        session
    }

    /// The session with this key, which must be there.
    pub(super) fn get(&self, key: SessionKey) -> &Session {
        let Some(session) = self.all.get(key.index()) else {
            unreachable!("keys are not kept longer than their sessions");
        };
        session
    }

    /// The session with this key, which must be there, to be changed.
    pub(super) fn at(&mut self, key: SessionKey) -> &mut Session {
        let Some(session) = self.all.get_mut(key.index()) else {
            unreachable!("keys are not kept longer than their sessions");
        };
        session
    }

    pub(super) fn by_client(&self, client_id: &str) -> Option<SessionKey> {
        let hash = self.client_hash.hash_one(client_id);
        let is_theirs = |key: &SessionKey| self.get(*key).client_id == client_id;
        self.by_client.find(hash, is_theirs).copied()
    }

    /// A number that stands for a client, of this session and of its next ones.
    pub(super) fn hash(&self, key: SessionKey) -> u64 {
        hash_of(&self.client_hash, &self.all, key)
    }

    pub(super) fn by_consumer(&self, consumer: ConsumerId) -> Option<SessionKey> {
        self.by_consumer.get(&consumer).copied()
    }

    pub(super) fn by_connection(&self, connection: ConnectionId) -> Option<Attached> {
        self.by_connection.get(&connection).copied()
    }

    pub(super) fn attach(&mut self, connection: ConnectionId, to: Attached) {
        self.by_connection.insert(connection, to);
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        self.by_connection.remove(&connection);
    }

    /// Every session, in the order of keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.all.iter().filter_map(|(index, session)| {
            let number = u32::try_from(index).ok()?;
            Some((SessionKey(number), session))
        })
    }
}

impl SessionKey {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

fn hash_of(client_hash: &RandomState, all: &Slab<Session>, key: SessionKey) -> u64 {
    all.get(key.index()).map_or(0, |session| client_hash.hash_one(&*session.client_id))
}
