//! The groups of shared subscriptions: who belongs to one, and what waits for any of them (section 4.8.2 of 5.0).
//!
//! ```text
//! given back ──┐
//! in memory  ──┼─▶ one message ─▶ one member that has room, in turn ─▶ done, or given back when it leaves
//! journal    ──┘
//! ```
//!
//! A group with a persistent member is a consumer of its own in the journal; any other lives in memory, as its
//! members do. Data and small questions only: who gets a message is decided in `sharing`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;

use crate::durable::{ConsumerId, LoadedDelivery, Message, MessageBody, Sequence, SubscriptionState};
use crate::mqtt::{PacketIdentifier, QoS, SubscriptionOptions, TopicFilter};

use super::backlog::Backlog;
use super::hash::NumberMap;
use super::queue::Bounds;
use super::sessions::SessionKey;

/// Names a group; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupId(u64);

/// A session's part in a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) session: SessionKey,
    pub(super) maximum_qos: QoS,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<NonZeroU32>,
}

impl Member {
    pub(super) const fn new(session: SessionKey, subscription: &SubscriptionState) -> Member {
        Member {
            session,
            maximum_qos: subscription.options.maximum_qos,
            retain_as_published: subscription.options.retain_as_published,
            identifier: subscription.identifier,
        }
    }
}

/// A message that belongs to a group and to no member for good.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Its place among the others of the group.
    order: u64,
    /// Its name, if the journal owes it to the group.
    pub(super) sequence: Option<Sequence>,
    pub(super) message: Message,
    /// The lower of its own and the highest of the members.
    pub(super) qos: QoS,
    /// Who got it before and did not answer, and with which identifier.
    pub(super) sent_to: Option<(SessionKey, PacketIdentifier)>,
}

/// What is open towards a member and belongs to its group until it is answered.
#[derive(Debug)]
pub(super) struct OpenShared {
    pub(super) group: GroupId,
    pub(super) held: Held,
}

/// What a session has to do with groups.
#[derive(Debug, Default)]
pub(super) struct Membership {
    pub(super) groups: Vec<GroupId>,
    /// QoS 1 messages that were sent to it and are not answered.
    pub(super) open: BTreeMap<PacketIdentifier, OpenShared>,
}

/// All the sessions that share one subscription.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) filter: TopicFilter,
    members: Vec<Member>,
    /// Whose turn it is.
    next: usize,
    /// What waits in the journal, if any member outlives its connection.
    pub(super) backlog: Option<Backlog>,
    /// What waits in memory.
    waiting: VecDeque<Held>,
    waiting_bytes: usize,
    /// What could not be given to anybody, or came back: it goes before everything else.
    returned: BTreeMap<u64, Held>,
    last_order: u64,
}

impl Group {
    fn new(filter: TopicFilter) -> Group {
        Group {
            filter,
            members: Vec::new(),
            next: 0,
            backlog: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            returned: BTreeMap::new(),
            last_order: 0,
        }
    }

    /// Adds a member, or changes how it takes part.
    pub(super) fn admit(&mut self, member: Member) {
        match self.members.iter_mut().find(|known| known.session == member.session) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    /// Removes a member; whether others are left.
    pub(super) fn dismiss(&mut self, session: SessionKey) -> bool {
        if let Some(at) = self.members.iter().position(|member| member.session == session) {
            self.members.remove(at);
            if at < self.next {
                self.next -= 1;
            }
        }
        // The key may be another's soon.
        for held in self.returned.values_mut().chain(&mut self.waiting) {
            held.sent_to = held.sent_to.filter(|(key, _)| *key != session);
        }
        !self.members.is_empty()
    }

    /// The members, beginning with the one whose turn it is.
    pub(super) fn members_in_turn(&self) -> impl Iterator<Item = (usize, Member)> + '_ {
        let (before, from) = self.members.split_at(self.next.min(self.members.len()));
        let from = (before.len()..).zip(from.iter().copied());
        from.chain(before.iter().copied().enumerate())
    }

    pub(super) fn member(&self, session: SessionKey) -> Option<Member> {
        self.members.iter().copied().find(|member| member.session == session)
    }

    /// The member at this place had its turn.
    pub(super) fn had_its_turn(&mut self, place: usize) {
        self.next = if place + 1 < self.members.len() { place + 1 } else { 0 };
    }

    /// How the group stands in the trie: with the highest quality of service of its members.
    pub(super) fn options(&self) -> SubscriptionOptions {
        let highest = self.members.iter().map(|member| member.maximum_qos).max();
        SubscriptionOptions {
            retain_as_published: self.members.iter().any(|member| member.retain_as_published),
            ..SubscriptionOptions::new(highest.unwrap_or(QoS::AtMostOnce))
        }
    }

    /// Whether nothing waits for a member.
    pub(super) fn is_idle(&self) -> bool {
        self.returned.is_empty()
            && self.waiting.is_empty()
            && self.backlog.as_ref().is_none_or(Backlog::is_caught_up)
    }

    /// Whether the next message has found nobody.
    pub(super) fn is_stuck(&self) -> bool {
        !self.returned.is_empty()
    }

    /// A message comes to the group.
    pub(super) fn hold(&mut self, message: Message, qos: QoS, sequence: Option<Sequence>) -> Held {
        self.last_order += 1;
        Held { order: self.last_order, sequence, message, qos, sent_to: None }
    }

    /// Lets a message wait in memory; gives back how many had to go for it.
    pub(super) fn wait(&mut self, mut held: Held, bounds: Bounds) -> u64 {
        held.message = held.message.detached();
        self.waiting_bytes += bytes_of(&held.message);
        self.waiting.push_back(held);
        let mut dropped = 0;
        while self.waiting.len() > bounds.messages || self.waiting_bytes > bounds.bytes {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= bytes_of(&oldest.message);
            dropped += 1;
        }
        dropped
    }

    /// Nobody has it any more.
    pub(super) fn give_back(&mut self, held: Held) {
        self.returned.insert(held.order, held);
    }

    /// The next message for a member, unless it `must_wait`.
    pub(super) fn take_next(&mut self, must_wait: impl Fn(Sequence) -> bool) -> Option<Held> {
        if let Some((_, held)) = self.returned.pop_first() {
            return Some(held);
        }
        if let Some(held) = self.waiting.pop_front() {
            self.waiting_bytes -= bytes_of(&held.message);
            return Some(held);
        }
        let backlog = self.backlog.as_mut()?;
        backlog.next_read().filter(|next| !must_wait(next.sequence))?;
        let LoadedDelivery { sequence, delivery, message } = backlog.take_next_read()?;
        Some(self.hold(message, delivery.qos, Some(sequence)))
    }

    /// What this session had before and did not answer.
    pub(super) fn take_sent_to(&mut self, session: SessionKey) -> Vec<(PacketIdentifier, Held)> {
        let is_its = |held: &Held| held.sent_to.filter(|(key, _)| *key == session);
        let its = self.returned.extract_if(.., |_, held| is_its(held).is_some());
        its.filter_map(|(_, held)| Some((is_its(&held)?.1, held))).collect()
    }

    /// How many messages only memory knows.
    pub(super) fn only_in_memory(&self) -> u64 {
        let all = self.waiting.iter().chain(self.returned.values());
        u64::try_from(all.filter(|held| held.sequence.is_none()).count()).unwrap_or(u64::MAX)
    }
}

fn bytes_of(message: &Message) -> usize {
    let body = match &message.body {
        MessageBody::Publish { payload, .. } => payload.len(),
        MessageBody::Reading(reading) => 64 * reading.measurements.len(),
    };
    message.topic.as_str().len() + body
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: NumberMap<GroupId, Group>,
    by_filter: HashMap<TopicFilter, GroupId>,
    by_consumer: NumberMap<ConsumerId, GroupId>,
    last: u64,
}

impl Groups {
    /// The group that shares this filter under this name, which may begin just now.
    pub(super) fn of(&mut self, filter: &TopicFilter) -> GroupId {
        if let Some(id) = self.by_filter.get(filter) {
            return *id;
        }
        self.last += 1;
        let id = GroupId(self.last);
        self.all.insert(id, Group::new(filter.clone()));
        self.by_filter.insert(filter.clone(), id);
        id
    }

    pub(super) fn find(&self, filter: &TopicFilter) -> Option<GroupId> {
        self.by_filter.get(filter).copied()
    }

    pub(super) fn by_consumer(&self, consumer: ConsumerId) -> Option<GroupId> {
        self.by_consumer.get(&consumer).copied()
    }

    pub(super) fn get(&self, id: GroupId) -> Option<&Group> {
        self.all.get(&id)
    }

    pub(super) fn at(&mut self, id: GroupId) -> Option<&mut Group> {
        self.all.get_mut(&id)
    }

    /// From now on the journal keeps what waits for this group.
    pub(super) fn keep(&mut self, id: GroupId, backlog: Backlog) {
        self.by_consumer.insert(backlog.consumer, id);
        if let Some(group) = self.all.get_mut(&id) {
            group.backlog = Some(backlog);
        }
    }

    pub(super) fn remove(&mut self, id: GroupId) -> Option<Group> {
        let group = self.all.remove(&id)?;
        self.by_filter.remove(&group.filter);
        if let Some(backlog) = &group.backlog {
            self.by_consumer.remove(&backlog.consumer);
        }
        Some(group)
    }

    /// The consumers of groups that nobody belongs to.
    pub(super) fn deserted(&self) -> Vec<(GroupId, TopicFilter)> {
        let deserted = self.all.iter().filter(|(_, group)| group.members.is_empty());
        let mut deserted: Vec<_> = deserted.map(|(id, group)| (*id, group.filter.clone())).collect();
        deserted.sort();
        deserted
    }
}
