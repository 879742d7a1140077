//! The machine itself: one input, its consequences, then whatever can be sent or loaded now.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytestring::ByteString;

use super::backoff::{Backoff, Random};
use super::downlink::Downlink;
use super::fault::Fault;
use super::lanes::{Lane, Queue};
use super::link::{Link, Server, Up};
use super::metered::Meter;
use super::options::Options;
use super::outgoing::Outgoing;
use super::poison::Poison;
use super::presence::{OFFLINE, Presence};
use super::rate::Bucket;
use super::restoration::Restoration;
use super::stale::Stale;
use super::waiting::Waiting;
use super::window::Window;
use super::{Event, Input, Output, Restored, Status, mapping};
use crate::durable::{Boots, ConsumerId, DropReason, LoadedDelivery, Record, Sequence, Ticket, Urgency};
use crate::mqtt::{
    ConnAck, Connect, ConnectProperties, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, PublishQoS, QoS, ReasonCode, TopicName, Will, encoded_len,
};
use crate::reading::Render;
use crate::time::{Instant, Moment};

/// What is known of a session that the server may have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    /// Nothing: this journal never saw the server. A session that it kept is somebody else's.
    Unknown,
    /// Such a session was found: it is cleared by a clean start.
    Stale,
    /// What is open in it is in the window.
    Ours,
}

/// What the journal was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loading {
    /// The next deliveries of this lane.
    Lane(usize),
    /// One delivery, to take up what an earlier run left open.
    One(Sequence),
}

/// An outgoing session. See the [module](super).
pub struct Forwarder {
    pub(super) options: Options,
    pub(super) renderer: Arc<dyn Render>,
    pub(super) boots: Boots,
    pub(super) link: Link,
    pub(super) backoff: Backoff,
    session: Session,
    pub(super) window: Window,
    pub(super) lanes: Vec<Lane>,
    /// The lane that sent last.
    pub(super) last_lane: usize,
    pub(super) loading: Option<Loading>,
    pub(super) bucket: Option<Bucket>,
    pub(super) meter: Option<Meter>,
    pub(super) poison: Poison,
    pub(super) outgoing: Outgoing,
    /// When something that is held back may go.
    pub(super) wake_at: Option<Instant>,
    /// Until when nothing is published, because the server refused something for now.
    pub(super) hold_until: Option<Instant>,
    pub(super) hold: Backoff,
    /// What the server takes at once, should it have said that we sent too much.
    window_cap: u16,
    pub(super) stale: Stale,
    pub(super) restoration: Option<Restoration>,
    pub(super) waiting: Waiting,
    pub(super) presence: Presence,
    pub(super) downlink: Downlink,
    pub(super) subscribing: BTreeMap<PacketIdentifier, Vec<ByteString>>,
    pub(super) status: Status,
    /// The ticket of what is appended now.
    ticket: Ticket,
    /// Whether anything was appended with it.
    appended: bool,
    /// Deliveries that an earlier run may have sent, as far as nobody knows better.
    pub(super) perhaps_sent: u16,
    pub(super) queued_before: Sequence,
}

impl Forwarder {
    /// The consumer whose queue it forwards, the first of them if there are several.
    #[must_use]
    pub fn consumer(&self) -> ConsumerId {
        self.lanes.first().map_or(ConsumerId(0), |lane| lane.consumer)
    }

    /// A session that connects at once: the first timeout is now. `boots` is what is known of clocks.
    #[must_use]
    pub fn new(
        now: Moment,
        consumer: ConsumerId,
        options: Options,
        renderer: Arc<dyn Render>,
        boots: Boots,
        restored: Restored,
    ) -> Forwarder {
        Forwarder::with_queues(now, &[Queue::new(consumer, restored)], options, renderer, boots)
    }

    /// As [`Forwarder::new`], with several queues; the first is the uplink's own.
    ///
    /// # Panics
    /// Without any queue.
    #[must_use]
    pub fn with_queues(
        now: Moment,
        queues: &[Queue],
        options: Options,
        renderer: Arc<dyn Render>,
        boots: Boots,
    ) -> Forwarder {
        assert!(!queues.is_empty(), "an uplink has a queue");
        let random = Random::new(options.seed);
        let window = options.window.clamp(1, 60_000);
        let assigned = queues.iter().map(|queue| queue.restored.assigned.clone());
        let restoration = Restoration::new(assigned, options.order);
        let left_open =
            |at| restoration.as_ref().map_or(Sequence::ZERO, |restoration| restoration.through(at));
        let lanes = queues.iter().enumerate();
        let lanes = lanes.map(|(at, queue)| Lane::new(queue, left_open(at), options.order)).collect();
        let is_new = queues.iter().all(|queue| queue.restored.new);
        let queued_before = queues.iter().map(|queue| queue.restored.queued).max().unwrap_or_default();
        let mut forwarder = Forwarder {
            renderer,
            boots,
            link: Link::Resting { until: now.monotonic },
            hold: Backoff::new(options.backoff_min, options.backoff_max, random.clone()),
            backoff: Backoff::new(options.backoff_min, options.backoff_max, random),
            session: if is_new { Session::Unknown } else { Session::Ours },
            window: Window::new(window),
            lanes,
            last_lane: 0,
            loading: None,
            bucket: options.rate.map(Bucket::new),
            meter: options.metered.clone().map(Meter::new),
            poison: Poison::default(),
            outgoing: Outgoing::default(),
            wake_at: None,
            hold_until: None,
            window_cap: window,
            stale: Stale::default(),
            restoration,
            waiting: Waiting::new(options.acknowledgement_deadline),
            presence: Presence::new(options.status_topic.clone()),
            downlink: Downlink::new(options.version, options.receive_maximum),
            subscribing: BTreeMap::new(),
            status: Status::default(),
            ticket: Ticket::default().next(),
            appended: false,
            perhaps_sent: if is_new { 0 } else { window },
            queued_before,
            options: Options { window, ..options },
        };
        // What is only to be released needs nothing from the journal.
        forwarder.restore();
        forwarder
    }

    /// Takes one input; what is to be done is added to `out`, to be carried out in order.
    pub fn handle(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Opened => self.opened(now, out),
            Input::Closed(why) => self.closed(now, why, out),
            Input::Packets(packets) => self.heard(now, packets, out),
            Input::WriteBlocked => {
                if let Link::Up(up) = &mut self.link {
                    up.write_blocked(now.monotonic);
                }
            }
            Input::WriteAdvanced => {
                self.waiting.progressed(now.monotonic);
                if let Link::Up(up) = &mut self.link {
                    up.write_advanced(now.monotonic);
                }
            }
            Input::Available { consumer, through } => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.consumer == consumer) {
                    lane.backlog.available(through);
                }
                if let Some(restoration) = &mut self.restoration {
                    restoration.try_again();
                }
            }
            Input::Loaded { deliveries, through } => self.loaded(deliveries, through),
            Input::Committed { ticket } => self.window.committed(ticket),
            Input::Dropped { count, reason } => *self.status.dropped.entry(reason).or_default() += count,
            Input::Accepted { token, outcome } => {
                if let Some(answer) = self.downlink.accepted(token, outcome)
                    && self.is_up()
                {
                    self.send(now, answer, out);
                }
            }
            Input::Presence(wanted) => self.presence.set(wanted),
            Input::Clock(boots) => self.boots = boots,
            Input::Prefer | Input::Pause | Input::Resume | Input::Discard => self.steer(now, &input, out),
            Input::Timeout => self.timeout(now, out),
            Input::Stop => self.stop(now, out),
        }
        self.pump(now, out);
        self.outgoing.hand_over(out);
        if std::mem::take(&mut self.appended) {
            self.ticket = self.ticket.next();
        }
        self.status.in_flight = self.window.len();
    }

    /// When [`Input::Timeout`] is wanted next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        // Nothing is sent before it is known what an earlier run left open.
        if self.restoration.as_ref().is_some_and(Restoration::was_begun) {
            return None;
        }
        let (answers, wake) =
            if self.is_up() { (self.waiting.expires_at(), self.wake_at) } else { (None, None) };
        [self.link.next_timeout(), answers, wake].into_iter().flatten().min()
    }

    fn loaded(&mut self, deliveries: Vec<LoadedDelivery>, through: Sequence) {
        match self.loading.take() {
            Some(Loading::Lane(at)) => {
                if let Some(lane) = self.lanes.get_mut(at) {
                    lane.backlog.loaded(deliveries, through);
                }
            }
            Some(Loading::One(sequence)) => self.fetched(sequence, deliveries, through),
            None => {}
        }
        self.restore();
    }

    /// Figures for status and metrics.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub(super) fn server(&self) -> Option<Server> {
        match &self.link {
            Link::Up(up) => Some(up.server),
            _ => None,
        }
    }

    pub(super) fn send(&mut self, now: Moment, packet: Packet, out: &mut Vec<Output>) {
        if let Link::Up(up) = &mut self.link {
            up.sent(now.monotonic);
        }
        self.meter(&now, &packet);
        self.outgoing.hand_over(out);
        out.push(Output::Send(packet));
    }

    /// Counts what the link carries, where that costs.
    pub(super) fn meter(&mut self, now: &Moment, packet: &Packet) {
        if self.meter.is_some() {
            self.meter_bytes(now, encoded_len(self.options.version, packet).unwrap_or_default());
        }
    }

    pub(super) fn meter_bytes(&mut self, now: &Moment, bytes: usize) {
        if let Some(meter) = &mut self.meter {
            meter.count(now, u64::try_from(bytes).unwrap_or(u64::MAX));
            self.status.spent = meter.spent;
        }
    }

    pub(super) fn close(&mut self, out: &mut Vec<Output>) {
        self.outgoing.hand_over(out);
        out.push(Output::Close);
    }

    pub(super) fn append(&mut self, urgency: Urgency, record: Record, out: &mut Vec<Output>) -> Ticket {
        self.appended = true;
        out.push(Output::Append { ticket: self.ticket, urgency, record: Box::new(record) });
        self.ticket
    }

    pub(super) fn done(&mut self, (consumer, sequence): (ConsumerId, Sequence), out: &mut Vec<Output>) {
        self.appended = true;
        out.push(Output::Done { ticket: self.ticket, consumer, sequence });
    }

    pub(super) fn drop_delivery(
        &mut self,
        (consumer, sequence): (ConsumerId, Sequence),
        reason: DropReason,
        out: &mut Vec<Output>,
    ) {
        let record = Record::Dropped { consumer, sequence, reason };
        self.append(Urgency::Lingers, record, out);
        self.drop_unkept(reason, out);
    }

    /// A message that the journal does not know is not passed on.
    pub(super) fn drop_unkept(&mut self, reason: DropReason, out: &mut Vec<Output>) {
        *self.status.dropped.entry(reason).or_default() += 1;
        Forwarder::tell_dropped(1, reason, out);
    }

    /// Whether the server is to retain it.
    pub(super) fn retains(&self, loaded: &LoadedDelivery) -> bool {
        let said = loaded.delivery.retain;
        mapping::find(&self.options.forward, &loaded.message.topic).map_or(said, |line| line.retains(said))
    }

    pub(super) fn renamed(&self, topic: &TopicName) -> Option<TopicName> {
        mapping::rename(&self.options.forward, topic).ok()
    }

    fn timeout(&mut self, now: Moment, out: &mut Vec<Output>) {
        let at = now.monotonic;
        let fault = match &mut self.link {
            Link::Resting { until } if *until <= at && self.restoration.is_none() => {
                self.status.attempts += 1;
                self.link = Link::Opening { until: at + self.options.open_deadline };
                out.push(Output::Open);
                return;
            }
            Link::Opening { until } if *until <= at => Some(Fault::OpenTimeout(self.options.open_deadline)),
            Link::Greeting { until } if *until <= at => {
                Some(Fault::GreetingTimeout(self.options.greeting_deadline))
            }
            Link::Up(up) => {
                let unanswered = self.waiting.expires_at().is_some_and(|until| until <= at);
                let deadline = self.options.acknowledgement_deadline;
                up.fault(at).or_else(|| unanswered.then_some(Fault::AcknowledgementTimeout(deadline)))
            }
            _ => None,
        };
        if let Some(fault) = fault {
            self.close(out);
            self.lost(now, fault, out);
        } else if let Link::Up(up) = &mut self.link
            && up.ping(at)
        {
            self.send(now, Packet::PingReq, out);
        }
    }

    fn opened(&mut self, now: Moment, out: &mut Vec<Output>) {
        if matches!(self.link, Link::Opening { .. }) {
            self.link = Link::Greeting { until: now.monotonic + self.options.greeting_deadline };
            let connect = self.connect();
            self.send(now, Packet::Connect(Box::new(connect)), out);
        }
    }

    fn closed(&mut self, now: Moment, why: String, out: &mut Vec<Output>) {
        match self.link {
            Link::Opening { .. } => self.lost(now, Fault::Unreachable(why), out),
            Link::Greeting { .. } | Link::Up(_) => self.lost(now, Fault::Closed(why), out),
            Link::Resting { .. } | Link::Paused | Link::Stopped => {}
        }
    }

    fn connect(&self) -> Connect {
        let options = &self.options;
        let will = self.status_at_server().map(|topic| {
            Box::new(Will {
                topic,
                payload: OFFLINE,
                qos: QoS::AtLeastOnce,
                retain: true,
                delay_interval_seconds: 0,
                properties: PublishProperties::default(),
            })
        });
        let properties = match options.version {
            ProtocolVersion::V5 => ConnectProperties {
                session_expiry_interval_seconds: Some(options.session_expiry_seconds),
                receive_maximum: NonZeroU16::new(options.receive_maximum),
                maximum_packet_size: u32::try_from(options.max_incoming_packet_bytes)
                    .ok()
                    .and_then(NonZeroU32::new),
                ..ConnectProperties::default()
            },
            _ => ConnectProperties::default(),
        };
        Connect {
            version: options.version,
            clean_start: self.session == Session::Stale,
            keep_alive_seconds: options.keep_alive_seconds,
            client_id: options.client_id.clone(),
            will,
            username: options.username.clone(),
            password: options.password.clone(),
            properties,
        }
    }

    fn status_at_server(&self) -> Option<TopicName> {
        let topic = self.options.status_topic.as_ref().and_then(|topic| self.renamed(topic))?;
        self.options.takes.topic(&topic).is_ok().then_some(topic)
    }

    /// CONNACK came.
    pub(super) fn greeted(&mut self, now: Moment, connack: &ConnAck, out: &mut Vec<Output>) {
        if connack.reason != ReasonCode::Success {
            return self.break_off(now, Fault::Refused(connack.reason), out);
        }
        let present = connack.session_present;
        match self.session {
            // [MQTT-3.2.2-4]: session state that we do not have means to start clean.
            Session::Unknown if present => {
                self.session = Session::Stale;
                return self.reconnect(now, Fault::StaleSession, out);
            }
            Session::Stale if present => {
                let fault = Fault::Protocol("it says that a session is present after a clean start");
                return self.break_off(now, fault, out);
            }
            // A clean session of 3.1.1 would end with this connection.
            Session::Stale if self.options.version != ProtocolVersion::V5 => {
                self.session = Session::Ours;
                return self.reconnect(now, Fault::StaleSession, out);
            }
            _ => self.session = Session::Ours,
        }
        let up = Up::new(now.monotonic, &self.options, connack);
        let server = up.server;
        self.link = Link::Up(Box::new(up));
        self.status.connected_since = Some(now);
        out.push(Output::Event(Event::Connected { session_present: present }));
        self.take_as_much_as(server);
        // What is open at a QoS that the server does not take any more cannot be taken up.
        if !present || self.window.exceeds(server.maximum_qos) {
            self.session_lost(out);
        }
        self.window.resume();
        self.downlink.connected(present);
        self.stale.connected(now.monotonic, present);
        self.presence.connected();
        self.lanes.iter_mut().for_each(|lane| lane.backlog.connected());
        self.subscribe(now, out);
        self.ask_if_suspicious(now, out);
    }

    /// How many may be open: what the server takes; one, while it is not known at which message it breaks off.
    pub(super) fn take_as_much_as(&mut self, server: Server) {
        let most = server.receive_maximum.min(self.window_cap);
        self.window.set_receive_maximum(if self.poison.is_suspicious() { 1 } else { most });
    }

    /// The server forgot the session: what had arrived is done, the rest is owed anew.
    fn session_lost(&mut self, out: &mut Vec<Output>) {
        let forgotten = self.window.forget();
        for delivered in forgotten.delivered {
            self.status.acknowledged += 1;
            self.done(delivered, out);
        }
        for consumer in forgotten.on_disk {
            self.append(Urgency::Lingers, Record::WindowForgotten { consumer }, out);
        }
        let mut again = forgotten.again;
        for lane in &mut self.lanes {
            let of_lane = again.extract_if(.., |owed| owed.loaded.delivery.consumer == lane.consumer);
            lane.backlog.owe_again(of_lane.collect());
        }
    }

    /// Ends a connection in the standard's way, because of something the server said.
    pub(super) fn break_off(&mut self, now: Moment, fault: Fault, out: &mut Vec<Output>) {
        if self.options.version == ProtocolVersion::V5 && matches!(fault, Fault::Protocol(_)) && self.is_up()
        {
            let disconnect = Disconnect::new(ReasonCode::ProtocolError);
            self.send(now, Packet::Disconnect(Box::new(disconnect)), out);
        }
        self.close(out);
        self.lost(now, fault, out);
    }

    /// Connects again at once: nothing is wrong with the server.
    pub(super) fn reconnect(&mut self, now: Moment, fault: Fault, out: &mut Vec<Output>) {
        let disconnect = Disconnect::new(ReasonCode::Success);
        self.send(now, Packet::Disconnect(Box::new(disconnect)), out);
        self.close(out);
        self.lost(now, fault, out);
        self.link = Link::Resting { until: now.monotonic };
    }

    /// There is no connection any more.
    pub(super) fn lost(&mut self, now: Moment, fault: Fault, out: &mut Vec<Output>) {
        if let Link::Up(up) = &self.link {
            if now.monotonic.since(up.since) >= self.options.stable_after {
                self.backoff.reset();
            } else if up.of_use && !fault.wants_rest() {
                self.backoff.eased();
            }
        }
        if fault == Fault::Disconnected(ReasonCode::ReceiveMaximumExceeded) {
            // It said one thing and means another: half of what was open when it complained.
            self.window_cap =
                u16::try_from(self.window.len() / 2).unwrap_or(u16::MAX).clamp(1, self.window_cap);
        }
        self.suspect(now, &fault, out);
        let rest = if fault.wants_rest() { self.backoff.overloaded() } else { self.backoff.failed() };
        let was_up = self.is_up();
        self.link = Link::Resting { until: now.monotonic + rest };
        self.stale.disconnected(now.monotonic, was_up);
        self.hold_until = None;
        self.window.suspend();
        self.waiting.clear();
        self.presence.disconnected();
        self.subscribing.clear();
        self.status.connected_since = None;
        self.status.last_fault = Some(fault.clone());
        out.push(Output::Event(Event::Disconnected { fault }));
    }

    /// Says good-bye: the status is published as the will would, then DISCONNECT.
    fn stop(&mut self, now: Moment, out: &mut Vec<Output>) {
        if let Some(server) = self.server() {
            if let Some(topic) = self.status_at_server() {
                let offline = Publish {
                    dup: false,
                    qos: PublishQoS::AtMostOnce,
                    retain: server.retain_available,
                    topic: Some(topic),
                    topic_alias: None,
                    payload: OFFLINE,
                    properties: None,
                };
                self.send(now, Packet::Publish(offline), out);
            }
            self.send(now, Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))), out);
        }
        if !matches!(self.link, Link::Stopped) {
            self.close(out);
            self.lost(now, Fault::Stopped, out);
        }
        self.link = Link::Stopped;
    }
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Forwarder")
            .field("lanes", &self.lanes)
            .field("link", &self.link)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
