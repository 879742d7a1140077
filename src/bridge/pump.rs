//! What can be sent or loaded now: after every input, as much as the window, the disk and the server allow.

use smallvec::SmallVec;

use super::admission::{frozen_payload, too_large};
use super::backlog::{LoadRequest, Owed};
use super::forwarder::{Forwarder, Loading};
use super::lanes::{Choice, choose};
use super::link::{Link, Server};
use super::outgoing::Numbered;
use super::window::{Parcel, Step};
use super::{Output, mapping};
use crate::durable::{DropReason, LoadedDelivery, Record, Sequence, Ticket, Urgency};
use crate::limits::UPLINK_QOS_2_WINDOW_3_1_1;
use crate::mqtt::{Acknowledgement, Packet, PacketIdentifier, ProtocolVersion, QoS, ReasonCode};
use crate::time::{Instant, Moment};

impl Forwarder {
    pub(super) fn pump(&mut self, now: Moment, out: &mut Vec<Output>) {
        self.wake_at = None;
        self.discard(out);
        self.prove(out);
        let renews = self.renews(now, out);
        if let Some(server) = self.server() {
            self.flush(now, server, out);
            if !renews {
                self.tell_presence(now, server, out);
                self.refill(now, server, out);
            }
            self.flush(now, server, out);
        }
        self.read_ahead(out);
    }

    /// Asks the journal for more, one question at a time: the most urgent lane first.
    fn read_ahead(&mut self, out: &mut Vec<Output>) {
        if self.restoration.is_some() {
            return self.load_for_restoration(out);
        }
        if self.loading.is_some() {
            return;
        }
        let is_up = self.is_up();
        let mut lanes: SmallVec<[usize; 4]> = (0..self.lanes.len()).collect();
        lanes.sort_by_key(|at| self.lanes.get(*at).map(|lane| lane.priority));
        for at in lanes {
            let Some(lane) = self.lanes.get_mut(at) else { continue };
            if !is_up && lane.discarded.is_none() {
                continue;
            }
            if let Some(request) = lane.backlog.load(false, || self.window.sequences()) {
                return self.ask(at, Loading::Lane(at), request, out);
            }
        }
    }

    pub(super) fn ask(&mut self, lane: usize, loading: Loading, request: LoadRequest, out: &mut Vec<Output>) {
        let Some(lane) = self.lanes.get(lane) else { return };
        self.loading = Some(loading);
        out.push(Output::Load {
            consumer: lane.consumer,
            after: request.after,
            max_messages: request.max_messages,
            max_bytes: request.max_bytes,
        });
    }

    /// Sends what the window has ready.
    fn flush(&mut self, now: Moment, server: Server, out: &mut Vec<Output>) {
        let held = self.is_held(now.monotonic);
        if held {
            self.wake(self.hold_until);
        }
        let held = held || self.poison.asks_first;
        while let Some((identifier, step)) = self.window.next(!held) {
            match step {
                Step::PubRel => {
                    self.waiting.sent(now.monotonic, identifier);
                    let release = Acknowledgement::new(identifier, ReasonCode::Success);
                    self.send(now, Packet::PubRel(release), out);
                }
                Step::Publish { dup } => self.send_open(now, server, identifier, dup, out),
            }
        }
    }

    /// Wants a timeout at this time at the latest.
    fn wake(&mut self, at: Option<Instant>) {
        self.wake_at = self.wake_at.into_iter().chain(at).min();
    }

    fn send_open(
        &mut self,
        now: Moment,
        server: Server,
        identifier: PacketIdentifier,
        dup: bool,
        out: &mut Vec<Output>,
    ) {
        let Some((qos, parcel)) = self.window.get(identifier) else { return };
        if !self.fits(parcel, qos, server, &now) {
            // The server takes less than it did when this was opened.
            let parcel = match qos {
                QoS::ExactlyOnce => self.window.refused(identifier),
                _ => self.window.acknowledged(identifier),
            };
            if let Some(Parcel::Delivery { loaded, more, .. }) = parcel {
                let why = too_large(server);
                for loaded in std::iter::once(loaded).chain(more) {
                    self.give_up(now, &loaded, &why, out);
                }
            }
            return;
        }
        let numbered = Numbered { qos, identifier: Some(identifier), dup };
        let said = self.outgoing.publish(parcel, &self.options, numbered, server.retain_available, &now);
        let Some(bytes) = said else { return };
        if dup && qos == QoS::AtLeastOnce && parcel.owed().next().is_some() {
            self.status.possible_duplicates += 1;
        }
        self.poison.sends(identifier, parcel);
        self.waiting.sent(now.monotonic, identifier);
        self.sent(now, bytes, out);
    }

    /// Publishes what nobody acknowledges.
    fn send_unacknowledged(&mut self, now: Moment, server: Server, parcel: &Parcel, out: &mut Vec<Output>) {
        let numbered = Numbered { qos: QoS::AtMostOnce, identifier: None, dup: false };
        let said = self.outgoing.publish(parcel, &self.options, numbered, server.retain_available, &now);
        if let Some(bytes) = said {
            self.sent(now, bytes, out);
        }
    }

    /// A PUBLISH of so many bytes is on its way.
    fn sent(&mut self, now: Moment, bytes: usize, out: &mut Vec<Output>) {
        if let Link::Up(up) = &mut self.link {
            up.sent(now.monotonic);
        }
        self.meter_bytes(&now, bytes);
        self.outgoing.hand_over_much(out);
    }

    /// Presence goes ahead of the backlog.
    fn tell_presence(&mut self, now: Moment, server: Server, out: &mut Vec<Output>) {
        while let Some((own, payload)) = self.presence.next() {
            let Some(topic) = self.renamed(&own) else { continue };
            if self.options.takes.topic(&topic).is_err() || self.poison.is_known(&topic) {
                continue;
            }
            // A metered link is told who is there, and nothing that can wait.
            if self.status.held.is_some() && !matches!(&*payload, b"online" | b"offline") {
                continue;
            }
            // A link that flaps would fill the window with repetitions of one state.
            if self.window.last_presence(&topic) == Some(&payload) {
                continue;
            }
            if !self.window.has_room() {
                return self.presence.put_back(own);
            }
            let parcel = Parcel::Presence { topic, payload };
            if server.maximum_qos == QoS::AtMostOnce {
                self.send_unacknowledged(now, server, &parcel, out);
            } else {
                self.window.open(QoS::AtLeastOnce, parcel);
            }
        }
    }

    /// Opens deliveries of the backlog, as soon as there is one place: a server that saves packets (Nagle) holds back
    /// its next acknowledgements until it hears from us. Those from the first of QoS 2 on wait, as one batch, for
    /// their identifiers to be on disk.
    fn refill(&mut self, now: Moment, server: Server, out: &mut Vec<Output>) {
        if self.window.waits_for_disk() || self.is_held(now.monotonic) || self.poison.asks_first {
            return;
        }
        let mut batch = Vec::new();
        let mut batch_ticket = None;
        while self.window.has_room() {
            let Some(at) = self.choose(&now) else { break };
            let next = self.lanes.get(at).and_then(|lane| lane.backlog.peek());
            let Some(qos) = next.map(|next| next.loaded.delivery.qos.min(server.maximum_qos)) else { break };
            let full = qos == QoS::ExactlyOnce
                && self.options.version != ProtocolVersion::V5
                && self.window.len() >= UPLINK_QOS_2_WINDOW_3_1_1;
            if full || (qos == QoS::AtMostOnce && batch_ticket.is_some()) {
                break;
            }
            let Some(parcel) = self.next_parcel(now, at, qos, server, out) else { continue };
            match qos {
                QoS::AtMostOnce => {
                    self.flush(now, server, out);
                    self.send_unacknowledged(now, server, &parcel, out);
                    parcel.owed().for_each(|owed| self.done(owed, out));
                }
                QoS::AtLeastOnce if batch_ticket.is_none() => {
                    self.window.open(qos, parcel);
                    if self.meter.is_some() {
                        // It is counted as it goes.
                        self.flush(now, server, out);
                    }
                }
                QoS::AtLeastOnce => batch.push(self.window.assign(qos, parcel)),
                QoS::ExactlyOnce => {
                    let (identifier, ticket) = self.assign_on_disk(parcel, out);
                    batch_ticket = ticket.or(batch_ticket);
                    batch.push(identifier);
                }
            }
        }
        if let Some(ticket) = batch_ticket {
            self.window.hold(ticket, batch);
        }
    }

    /// The lane whose turn it is, if any may send now.
    fn choose(&mut self, now: &Moment) -> Option<usize> {
        let held = self.meter.as_mut().and_then(|meter| meter.held(now));
        self.status.held = held.map(|(why, _)| why);
        if let Some((_, after)) = held {
            self.wake(Some(now.monotonic + after));
        }
        let now = now.monotonic;
        let ready = self.bucket.as_ref().map_or(now, |bucket| bucket.ready_at(now));
        match choose(&mut self.lanes, self.last_lane, now, held.is_some()) {
            Choice::Nothing => None,
            Choice::Lane(_) if ready > now => {
                self.wake(Some(ready));
                None
            }
            Choice::Lane(at) => Some(at),
            Choice::At(at) => {
                self.wake(Some(at));
                None
            }
        }
    }

    /// Takes the next message of a lane, with those that travel with it, and makes it ready to be sent.
    fn next_parcel(
        &mut self,
        now: Moment,
        lane: usize,
        qos: QoS,
        server: Server,
        out: &mut Vec<Output>,
    ) -> Option<Parcel> {
        let forward = &self.options.forward;
        let same_topic = |one: &LoadedDelivery, other: &LoadedDelivery| {
            let (one, other) = (&one.message.topic, &other.message.topic);
            one == other || mapping::rename(forward, one) == mapping::rename(forward, other)
        };
        let (first, more) = self.lanes.get_mut(lane)?.take(now.monotonic, same_topic)?;
        self.last_lane = lane;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now.monotonic);
        }
        for owed in std::iter::once(&first).chain(&more) {
            self.count_possible_duplicate(owed.loaded.sequence, qos, owed.sent_before);
        }
        let more = more.into_iter().map(|owed| owed.loaded).collect();
        match self.admit(first.loaded, more, qos, server, &now) {
            Ok(parcel) => Some(parcel),
            Err((all, why)) => {
                // What is too large together may go one by one.
                if all.len() > 1 && why.reason == DropReason::PacketTooLarge {
                    let lane = self.lanes.get_mut(lane)?;
                    lane.send_singly(all.len());
                    let again = all.into_iter().map(|loaded| Owed { loaded, sent_before: false });
                    lane.backlog.owe_again(again.collect());
                    return None;
                }
                for loaded in &all {
                    self.give_up(now, loaded, &why, out);
                }
                None
            }
        }
    }

    /// Gives a QoS 2 delivery its identifier, and that to the journal.
    fn assign_on_disk(
        &mut self,
        parcel: Parcel,
        out: &mut Vec<Output>,
    ) -> (PacketIdentifier, Option<Ticket>) {
        let frozen_payload = frozen_payload(&parcel);
        let owed = parcel.owed().next();
        let packet_identifier = self.window.assign(QoS::ExactlyOnce, parcel);
        let ticket = owed.map(|(consumer, sequence)| {
            let qos = QoS::ExactlyOnce;
            let record = Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload };
            self.append(Urgency::Awaited, record, out)
        });
        (packet_identifier, ticket)
    }

    /// A killed run may have sent the first deliveries that were queued when it ended, up to a window of them;
    /// nobody knows.
    fn count_possible_duplicate(&mut self, sequence: Sequence, qos: QoS, sent_before: bool) {
        if qos == QoS::AtMostOnce {
            return;
        }
        let perhaps = self.perhaps_sent > 0 && sequence <= self.queued_before && qos == QoS::AtLeastOnce;
        if perhaps {
            self.perhaps_sent -= 1;
        }
        if sent_before || perhaps {
            self.status.possible_duplicates += 1;
        }
    }
}
