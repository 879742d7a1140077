//! Shared subscriptions at work: joining, leaving, and the spread of messages over the members of a group.
//!
//! Each message goes to one member, in turn among those that are there and have room. QoS 1 stays the group's until
//! it is acknowledged: if the member's connection ends, another gets it. QoS 2 is the member's from the moment it is
//! assigned `[MQTT-4.8.2-4]` `[MQTT-4.8.2-5]`, and that is on disk before it is sent.

use crate::durable::{
    ConsumerId, Delivery, DropReason, LoadedDelivery, Message, Record, Sequence, SubscriptionState, Ticket,
    Urgency,
};
use crate::flow::Phase;
use crate::mqtt::{PacketIdentifier, QoS, TopicFilter};

use super::access::Reach;
use super::aliases::Naming;
use super::backlog::Backlog;
use super::ledger::Waiting;
use super::publish_frame::{Identifiers, Variant, encode_once};
use super::queue::Bounds;
use super::sending::{InFlight, Readiness, expiry_left};
use super::sessions::{Session, SessionKey};
use super::shared::{GroupId, Held, Member, OpenShared};
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, ConnectionId, PublishFrame, Turn};

/// Messages of a group that are read from the journal at once.
const READ_AT_ONCE: u16 = 64;

/// Who can take a message now.
enum Choice {
    /// This one, and the packet for it.
    Member { place: usize, member: Member, qos: QoS, frame: PublishFrame },
    /// Nobody now.
    Nobody,
    /// Nobody ever: it is larger than any of them takes.
    TooLarge,
    /// Nobody ever: the rules have changed, and none of them may have it.
    Forbidden,
}

impl Broker {
    /// A session subscribes to a part of a shared subscription. Gives back what must be committed before SUBACK.
    pub(super) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        filter: &TopicFilter,
        subscription: &SubscriptionState,
    ) -> Option<Ticket> {
        let id = self.enlist(key, filter, subscription);
        let is_persistent = self.sessions.get(key).backlog.is_some();
        let is_kept = self.groups.get(id).is_some_and(|group| group.backlog.is_some());
        if !is_persistent || is_kept {
            return None;
        }
        let consumer = self.new_consumer();
        let record = Record::GroupOpened { consumer, filter: filter.clone() };
        let ticket = self.ledger.append(turn, Urgency::Awaited, record);
        self.groups.keep(id, Backlog::new(consumer, ticket, self.ledger.last_sequence()));
        Some(ticket)
    }

    /// Makes a session a member of a group, and the group known to the trie.
    pub(super) fn enlist(
        &mut self,
        key: SessionKey,
        filter: &TopicFilter,
        subscription: &SubscriptionState,
    ) -> GroupId {
        let id = self.groups.of(filter);
        if let Some(group) = self.groups.at(id) {
            group.admit(Member::new(key, subscription));
        }
        self.enter_group(id);
        let membership = self.sessions.at(key).membership.get_or_insert_default();
        if !membership.groups.contains(&id) {
            membership.groups.push(id);
        }
        id
    }

    /// Enters a group into the trie as its members and their rights make it.
    pub(super) fn enter_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        let is_asked = group.members_in_turn().any(|(_, member)| {
            self.sessions.get(member.session).permissions.reach(&group.filter) != Reach::Everything
        });
        let entry = Subscription::new(Subscriber::Group(id), group.options(), None).asked(is_asked);
        self.subscriptions.insert(&group.filter, entry);
    }

    /// Whether any member may get a message.
    pub(super) fn group_may_get(&self, id: GroupId, message: &Message) -> bool {
        let group = self.groups.get(id);
        group.is_some_and(|group| {
            group.members_in_turn().any(|(_, member)| self.may_get(member.session, message))
        })
    }

    /// A session does not take part any more. What it has not answered yet it may still answer.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, key: SessionKey, filter: &TopicFilter) {
        let Some(id) = self.groups.find(filter) else { return };
        if let Some(membership) = &mut self.sessions.at(key).membership {
            membership.groups.retain(|group| *group != id);
        }
        let Some(group) = self.groups.at(id) else { return };
        if group.dismiss(key) {
            self.enter_group(id);
        } else {
            self.close_group(turn, id, filter);
        }
    }

    /// Nobody is left: what waits is given up.
    fn close_group(&mut self, turn: &mut Turn<'_>, id: GroupId, filter: &TopicFilter) {
        self.subscriptions.remove(filter, Subscriber::Group(id));
        let Some(group) = self.groups.remove(id) else { return };
        turn.dropped(group.only_in_memory(), DropReason::SessionEnded);
        if let Some(backlog) = group.backlog {
            let record = Record::ConsumerClosed { consumer: backlog.consumer };
            self.ledger.append(turn, Urgency::Lingers, record);
        }
    }

    /// Takes up the groups of an earlier run. Their members come with the sessions.
    pub(super) fn restore_group(&mut self, consumer: ConsumerId, filter: &TopicFilter, last_owed: Sequence) {
        let id = self.groups.of(filter);
        self.groups.keep(id, Backlog::restored(consumer, last_owed));
    }

    /// Groups of an earlier run whose last members ended with their connections are closed.
    pub(super) fn close_deserted_groups(&mut self, turn: &mut Turn<'_>) {
        self.has_deserted_groups = false;
        for (id, filter) in self.groups.deserted() {
            self.close_group(turn, id, &filter);
        }
    }

    /// A message that only memory owes to a group: a member gets it, or it waits for one.
    pub(super) fn share_live(&mut self, turn: &mut Turn<'_>, id: GroupId, message: &Message, qos: QoS) {
        let Some(group) = self.groups.at(id) else { return };
        let is_kept = group.backlog.is_some();
        let is_first = group.is_idle() || qos == QoS::AtMostOnce;
        let held = group.hold(message.clone(), qos, None);
        let held = if is_first { self.give(turn, id, held) } else { Some(held) };
        let Some(held) = held else { return };
        if qos == QoS::AtMostOnce {
            let is_anybody_there = self.groups.get(id).is_some_and(|group| {
                group
                    .members_in_turn()
                    .any(|(_, member)| self.sessions.get(member.session).connection().is_some())
            });
            return turn.dropped(u64::from(is_anybody_there), DropReason::SlowSubscriber);
        }
        if let Some(reason) = self.refusal(true, false).filter(|_| is_kept) {
            return turn.dropped(1, reason);
        }
        let bounds =
            Bounds { messages: self.limits.max_queued_messages, bytes: self.limits.max_queued_bytes };
        if let Some(group) = self.groups.at(id) {
            turn.dropped(group.wait(held, bounds), DropReason::QueueFull);
        }
    }

    /// A message that the journal owes to a group: a member gets it at once if nothing waits before it.
    pub(super) fn share_owed(
        &mut self,
        turn: &mut Turn<'_>,
        id: GroupId,
        message: &Message,
        sequence: Sequence,
        qos: QoS,
    ) {
        let Some(group) = self.groups.at(id) else { return };
        let is_idle = group.is_idle();
        let Some(backlog) = &mut group.backlog else {
            unreachable!("only a group that the journal knows is owed something");
        };
        backlog.owe(sequence, message);
        if !is_idle {
            return if group.is_stuck() { group.read_on(turn) } else { self.spread(turn, id) };
        }
        backlog.passed_on();
        let held = group.hold(message.clone(), qos, Some(sequence));
        self.give_or_keep(turn, id, held);
    }

    fn give_or_keep(&mut self, turn: &mut Turn<'_>, id: GroupId, held: Held) -> bool {
        let left = self.give(turn, id, held);
        let is_given = left.is_none();
        if let Some((held, group)) = left.zip(self.groups.at(id)) {
            group.give_back(held);
        }
        is_given
    }

    /// Gives members what waits for the group, as far as they have room.
    pub(super) fn spread(&mut self, turn: &mut Turn<'_>, id: GroupId) {
        loop {
            let Some(group) = self.groups.at(id) else { return };
            let ledger = &self.ledger;
            let Some(held) = group.take_next(|sequence| ledger.is_held(sequence)) else { break };
            if !self.give_or_keep(turn, id, held) {
                break;
            }
        }
        if let Some(group) = self.groups.at(id) {
            group.read_on(turn);
        }
    }

    /// Gives a message to the next member that has room; gives it back when there is none.
    fn give(&mut self, turn: &mut Turn<'_>, id: GroupId, held: Held) -> Option<Held> {
        let expiry = match expiry_left(&held.message, &turn.now) {
            Ok(expiry) => expiry,
            Err(reason) => {
                self.drop_shared(turn, id, &held, reason);
                return None;
            }
        };
        match self.choose(id, &held, expiry) {
            Choice::Nobody => Some(held),
            Choice::TooLarge => {
                self.drop_shared(turn, id, &held, DropReason::PacketTooLarge);
                None
            }
            Choice::Forbidden => {
                self.drop_shared(turn, id, &held, DropReason::NotAuthorized);
                None
            }
            Choice::Member { place, member, qos, frame } => {
                if let Some(group) = self.groups.at(id) {
                    group.had_its_turn(place);
                }
                match qos {
                    QoS::AtMostOnce => {
                        self.sessions.at(member.session).send(turn, frame, qos, None);
                        self.shared_done(turn, id, &held);
                    }
                    QoS::AtLeastOnce => self.lend(turn, id, member.session, held, frame),
                    QoS::ExactlyOnce => self.assign_for_good(turn, id, member, held, frame),
                }
                None
            }
        }
    }

    fn choose(&self, id: GroupId, held: &Held, expiry: Option<u32>) -> Choice {
        let Some(group) = self.groups.get(id) else { return Choice::Nobody };
        let mut is_too_large = true;
        let mut is_forbidden = group.members_in_turn().next().is_some();
        for (place, member) in group.members_in_turn() {
            if !self.may_get(member.session, &held.message) {
                continue;
            }
            is_forbidden = false;
            let session = self.sessions.get(member.session);
            // [MQTT-4.8.2-3]
            let qos = held.qos.min(member.maximum_qos);
            if !self.has_room(session, qos) {
                is_too_large = false;
                continue;
            }
            let Some(frame) = self.shared_frame(session, &member, held, qos, expiry) else { continue };
            if session.connection().is_some_and(|link| frame.bytes.len() <= link.maximum_packet_size()) {
                return Choice::Member { place, member, qos, frame };
            }
        }
        match (is_forbidden, is_too_large) {
            (true, _) => Choice::Forbidden,
            (false, true) => Choice::TooLarge,
            (false, false) => Choice::Nobody,
        }
    }

    fn has_room(&self, session: &Session, qos: QoS) -> bool {
        let is_ready = session.readiness(0, qos) == Readiness::Now && !session.waiting_to_be_sent.holds(qos);
        match &session.backlog {
            Some(backlog) if qos == QoS::ExactlyOnce => {
                let window = session.connection().map_or(0, |connection| connection.receive_maximum);
                is_ready && backlog.owed() < usize::from(window) && self.refusal(true, false).is_none()
            }
            _ => is_ready,
        }
    }

    fn shared_frame(
        &self,
        session: &Session,
        member: &Member,
        held: &Held,
        qos: QoS,
        expiry: Option<u32>,
    ) -> Option<PublishFrame> {
        let variant = Variant {
            version: session.version,
            qos,
            retain: held.message.retain && member.retain_as_published,
            subscription_identifiers: member.identifier.as_slice(),
            naming: Naming::Topic,
        };
        encode_once(&self.renderer, &self.boots, &held.message, variant, expiry)
    }

    /// QoS 1: it is sent to a member and stays the group's until the member acknowledges it.
    fn lend(
        &mut self,
        turn: &mut Turn<'_>,
        id: GroupId,
        key: SessionKey,
        mut held: Held,
        frame: PublishFrame,
    ) {
        let session = self.sessions.at(key);
        let Some(identifier) = session.send(turn, frame, QoS::AtLeastOnce, None) else { return };
        held.sent_to = Some((key, identifier));
        session.lent(identifier, OpenShared { group: id, held });
    }

    /// QoS 2: from now on it is this member's and nobody else's.
    fn assign_for_good(
        &mut self,
        turn: &mut Turn<'_>,
        id: GroupId,
        member: Member,
        held: Held,
        frame: PublishFrame,
    ) {
        let key = member.session;
        let session = self.sessions.at(key);
        let qos = QoS::ExactlyOnce;
        if let Some(consumer) = session.consumer() {
            // It changes hands in the journal, both in one commit, and then goes the way of all it owes.
            let delivery = Delivery {
                consumer,
                qos,
                retain: held.message.retain && member.retain_as_published,
                subscription_identifiers: Identifiers::from_iter(member.identifier),
            };
            let kept = self.keep(turn, &held.message, std::iter::once(delivery).collect(), Urgency::Lingers);
            self.shared_done(turn, id, &held);
            if let Some(((sequence, _), backlog)) = kept.zip(self.sessions.at(key).backlog.as_mut()) {
                backlog.owe(sequence, &held.message);
            }
            return self.send_own(turn, key);
        }
        let group = self.groups.get(id).and_then(|group| group.backlog.as_ref());
        let (Some(sequence), Some(backlog)) = (held.sequence, group) else {
            session.send(turn, frame, qos, None);
            return;
        };
        let Some(connection) = session.connection().map(|link| link.id) else { return };
        let consumer = backlog.consumer;
        let packet_identifier = session.outbound.assign(qos, InFlight::new(None));
        let ticket = self.ledger.append(turn, Urgency::Awaited, Record::Done { consumer, sequence });
        self.settle_group(id);
        self.ledger.wait(ticket, Waiting::AssignedShared { connection, packet_identifier, frame });
    }

    /// That a QoS 2 message is this member's is on disk: it is sent.
    pub(super) fn assigned_shared(
        &mut self,
        turn: &mut Turn<'_>,
        connection: ConnectionId,
        identifier: PacketIdentifier,
        frame: PublishFrame,
    ) {
        let Some(key) = self.session_of(connection) else { return };
        self.sessions.at(key).send_assigned_shared(turn, identifier, frame);
    }

    /// A member answered, or needs not: the group is rid of it.
    pub(super) fn shared_done(&mut self, turn: &mut Turn<'_>, id: GroupId, held: &Held) {
        if let Some((consumer, sequence)) = self.kept_of(id, held) {
            self.ledger.append(turn, Urgency::Lingers, Record::Done { consumer, sequence });
            self.settle_group(id);
        }
    }

    /// Nobody of the group will get it `[MQTT-4.8.2-6]`.
    pub(super) fn drop_shared(&mut self, turn: &mut Turn<'_>, id: GroupId, held: &Held, reason: DropReason) {
        if let Some((consumer, sequence)) = self.kept_of(id, held) {
            let record = Record::Dropped { consumer, sequence, reason };
            self.ledger.append(turn, Urgency::Lingers, record);
            self.settle_group(id);
        }
        turn.dropped(1, reason);
    }

    fn kept_of(&self, id: GroupId, held: &Held) -> Option<(ConsumerId, Sequence)> {
        let backlog = self.groups.get(id)?.backlog.as_ref()?;
        Some((backlog.consumer, held.sequence?))
    }

    fn settle_group(&mut self, id: GroupId) {
        if let Some(backlog) = self.groups.at(id).and_then(|group| group.backlog.as_mut()) {
            backlog.settle(1);
        }
    }

    /// What a session did not answer goes back to its groups, and on to others.
    pub(super) fn give_back(&mut self, turn: &mut Turn<'_>, open: Vec<OpenShared>) {
        let mut groups: Vec<GroupId> = Vec::new();
        for OpenShared { group: id, held } in open {
            match self.groups.at(id) {
                Some(group) => group.give_back(held),
                None => turn.dropped(u64::from(held.sequence.is_none()), DropReason::SessionEnded),
            }
            if !groups.contains(&id) {
                groups.push(id);
            }
        }
        for id in groups {
            self.spread(turn, id);
        }
    }

    /// A member is back: what it had and nobody got meanwhile is repeated under its old identifier
    /// `[MQTT-4.4.0-1]`.
    pub(super) fn resume_shared(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        for id in self.sessions.get(key).groups() {
            let Some(group) = self.groups.at(id) else { continue };
            let Some(member) = group.member(key) else { continue };
            for (identifier, held) in group.take_sent_to(key) {
                let left = self.repeat_shared(turn, id, &member, identifier, held);
                if let Some((held, group)) = left.zip(self.groups.at(id)) {
                    group.give_back(held);
                }
            }
        }
    }

    fn repeat_shared(
        &mut self,
        turn: &mut Turn<'_>,
        id: GroupId,
        member: &Member,
        identifier: PacketIdentifier,
        held: Held,
    ) -> Option<Held> {
        let qos = QoS::AtLeastOnce;
        let session = self.sessions.get(member.session);
        let is_free = session.outbound.get(identifier).is_none();
        let expiry = expiry_left(&held.message, &turn.now).unwrap_or(Some(0));
        let frame = self.shared_frame(session, member, &held, qos, expiry);
        let Some(frame) = frame.filter(|_| is_free) else { return Some(held) };
        if session.readiness(frame.bytes.len(), qos) != Readiness::Now {
            return Some(held);
        }
        let session = self.sessions.at(member.session);
        session.outbound.restore(identifier, qos, Phase::Published, InFlight::repeated());
        session.transmit(turn, frame, Some(identifier), true);
        session.lent(identifier, OpenShared { group: id, held });
        None
    }

    /// What the journal owes to a group has come.
    pub(super) fn loaded_shared(
        &mut self,
        turn: &mut Turn<'_>,
        id: GroupId,
        deliveries: Vec<LoadedDelivery>,
        through: Sequence,
    ) {
        if let Some(backlog) = self.groups.at(id).and_then(|group| group.backlog.as_mut()) {
            backlog.take_loaded(deliveries, through, |_| {});
        }
        self.spread(turn, id);
    }
}

impl super::shared::Group {
    fn read_on(&mut self, turn: &mut Turn<'_>) {
        if let Some(backlog) = &mut self.backlog {
            backlog.read_on(turn, READ_AT_ONCE);
        }
    }
}

impl Session {
    /// The groups that it belongs to.
    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.membership.as_ref().map(|membership| membership.groups.clone()).unwrap_or_default()
    }

    fn lent(&mut self, identifier: PacketIdentifier, open: OpenShared) {
        self.membership.get_or_insert_default().open.insert(identifier, open);
    }

    /// What a group has lent it under this identifier.
    pub(super) fn take_lent(&mut self, identifier: PacketIdentifier) -> Option<OpenShared> {
        self.membership.as_mut()?.open.remove(&identifier)
    }

    fn send_assigned_shared(
        &mut self,
        turn: &mut Turn<'_>,
        identifier: PacketIdentifier,
        frame: PublishFrame,
    ) {
        if self.outbound.assigned_committed(identifier).is_none() {
            return;
        }
        if let Some((_, in_flight)) = self.outbound.find(identifier) {
            *in_flight = InFlight::repeated();
        }
        self.transmit(turn, frame, Some(identifier), false);
    }
}
