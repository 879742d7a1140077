//! Rights at work: what a client is refused, and what follows when rights change while clients are connected.
//!
//! Who may do what is calculated in `access`. A change drops nobody: from then on the new rights hold, for what is
//! published, for what is subscribed already, and for what waits. Who has no account any more is another matter: the
//! driver says so, with [`super::Input::Expel`].

use bytestring::ByteString;

use crate::durable::{DropReason, Message};
use crate::mqtt::{QoS, ReasonCode, TopicFilter, TopicName};

use super::access::{Action, Reach, Rights};
use super::sessions::SessionKey;
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, ConnectionId, Denial, Event, Turn};

impl Broker {
    /// The same broker with these rights, before anything happens.
    #[must_use]
    pub fn with_rights(mut self, rights: Rights) -> Broker {
        self.rights = rights;
        self
    }

    /// Other rights hold from now on. Whose are the same as before notices nothing.
    pub(super) fn change_rights(&mut self, turn: &mut Turn<'_>, rights: Rights) {
        if self.rights == rights {
            return;
        }
        self.rights = rights;
        let keys: Vec<SessionKey> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.apply_rights(turn, key);
        }
    }

    /// Gives a session the rights that its client has now; does what follows when they are others than before.
    pub(super) fn apply_rights(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let session = self.sessions.at(key);
        let permissions = self.rights.of_client(session.user.as_deref(), &session.client_id);
        if session.permissions == permissions {
            return;
        }
        session.permissions = permissions;
        for (filter, state) in &session.subscriptions {
            if filter.share_name().is_some() {
                continue;
            }
            let subscriber = Subscriber::Session(key);
            let subscription = Subscription::new(subscriber, state.options, state.identifier);
            let is_asked = session.permissions.reach(filter) != Reach::Everything;
            self.subscriptions.insert(filter, subscription.asked(is_asked));
        }
        let permissions = &session.permissions;
        let taken_away = session.waiting_to_be_sent.retain(|frame| {
            // A frame of ours that cannot be read would be a fault; it is kept back then.
            frame.topic().is_some_and(|topic| permissions.allow(Action::Subscribe, &topic))
        });
        turn.dropped(taken_away, DropReason::NotAuthorized);
        for group in self.sessions.get(key).groups() {
            self.enter_group(group);
        }
    }

    /// A client has lost its account.
    pub(super) fn expel(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, reason: ReasonCode) {
        if let Some(key) = self.session_of(connection) {
            self.break_off(turn, key, reason);
        }
    }

    /// Whether a client may not publish to a topic; says so to whoever counts. What a client is not told, because it
    /// cannot be, is a message dropped too.
    pub(super) fn denies_publish(
        &self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        topic: &TopicName,
        qos: QoS,
    ) -> bool {
        let session = self.sessions.get(key);
        if session.permissions.allow(Action::Publish, topic) {
            return false;
        }
        deny(turn, &session.client_id, Denial::Publish, topic.as_byte_string());
        let is_told =
            qos > QoS::AtMostOnce && session.connection().is_some_and(|connection| connection.is_v5());
        if !is_told {
            turn.dropped(1, DropReason::NotAuthorized);
        }
        true
    }

    /// How much of a subscription a client may have.
    ///
    /// # Errors
    /// Nothing of it.
    pub(super) fn reach(
        &self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        filter: &TopicFilter,
    ) -> Result<Reach, ReasonCode> {
        let session = self.sessions.get(key);
        match session.permissions.reach(filter) {
            Reach::Nothing => {
                deny(turn, &session.client_id, Denial::Subscribe, filter.as_byte_string());
                Err(ReasonCode::NotAuthorized)
            }
            reach => Ok(reach),
        }
    }

    /// Whether a client may get a message now: what was matched earlier may be forbidden by now.
    pub(super) fn may_get(&self, key: SessionKey, message: &Message) -> bool {
        self.sessions.get(key).permissions.allow(Action::Subscribe, &message.topic)
    }
}

/// Says that the access rules refused something.
pub(super) fn deny(turn: &mut Turn<'_>, client_id: &ByteString, what: Denial, topic: &ByteString) {
    refuse(turn, client_id, what, ReasonCode::NotAuthorized, topic);
}

/// Says that something was refused.
pub(super) fn refuse(
    turn: &mut Turn<'_>,
    client_id: &ByteString,
    what: Denial,
    reason: ReasonCode,
    topic: &ByteString,
) {
    turn.event(Event::Denied { client_id: client_id.clone(), what, reason, topic: topic.clone() });
}
