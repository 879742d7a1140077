//! The task of one uplink: waits for whatever happens next, tells the forwarder, carries out what it says.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep, timeout};

use super::connection::{Connection, Happening};
use super::connector::{Better, Connector, Login, Opened, Opening};
use super::handover::Handover;
use super::{Command, LayAside, UplinkOptions, Watch};
use crate::bridge::{Durability, Forwarder, Input, Output, PresenceMap, Status};
use crate::broker::Relay;
use crate::disk::{Clock, JournalClient, JournalStopped, Reply};
use crate::durable::{Boots, ConsumerId, Record, Sequence, Urgency};
use crate::journal::Load;
use crate::limits::{UPLINK_GATHER_FOR, UPLINK_GATHER_FROM, UPLINK_GOODBYE_DEADLINE};
use crate::mqtt::{Packet, ProtocolVersion, ReasonCode};
use crate::net::{Acceptances, Accepted, Publication, Source, Stopped};
use crate::time::Instant;

/// Room for so many outputs is kept from turn to turn.
const OUTPUTS_KEPT: usize = 1024;

/// The way to the server.
enum Way {
    Closed,
    Opening(Opening),
    Open(Box<Connection>),
}

/// How the server of this connection is to be greeted, and whether it has taken us.
#[derive(Default)]
struct Greeting {
    is_another: bool,
    login: Option<Login>,
    server: Arc<str>,
    answered: bool,
}

/// Whether this is a CONNACK that takes us.
fn accepts(packet: &Packet) -> bool {
    matches!(packet, Packet::ConnAck(answer) if answer.reason == ReasonCode::Success)
}

type Publishing = Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>>;

pub(super) struct Task {
    connector: Box<dyn Connector>,
    version: ProtocolVersion,
    max_incoming_packet_bytes: usize,
    /// Whether it takes what is not yet on disk.
    is_eager: bool,
    forwarder: Forwarder,
    journal: Handover,
    source: Option<Source>,
    acceptances: Option<Acceptances>,
    clock: Clock,
    watch: Watch,
    lay_aside: LayAside,
    queues: Vec<ConsumerId>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    server: watch::Sender<Arc<str>>,
    way: Way,
    greeting: Greeting,
    /// Ends when a better server is there than the one in use.
    better: Option<Better>,
    /// While answers of the server are gathered.
    gathering: Option<Pin<Box<Sleep>>>,
    outputs: Vec<Output>,
    /// Room for those of the next turn.
    spare_outputs: Vec<Output>,
    /// What the broker did not take yet.
    publications: Vec<Publication>,
    publishing: Option<Publishing>,
}

/// What woke the task.
enum Wake {
    Stop,
    Timeout,
    HandoverDue,
    Opened(Result<Opened, String>),
    Happened(Happening),
    Journal(Result<Vec<Reply>, JournalStopped>),
    JournalHasRoom(Result<(), JournalStopped>),
    Accepted(Option<Accepted>),
    Published(Result<(), Stopped>),
    Gathered,
    Better,
    Presence(PresenceMap),
    Boots(Boots),
    Command(Command),
}

impl Task {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by `spawn_over`, with everything the task owns"
    )]
    pub(super) fn new(
        connector: Box<dyn Connector>,
        options: &UplinkOptions,
        forwarder: Forwarder,
        journal: JournalClient,
        broker: Option<(Source, Acceptances)>,
        clock: Clock,
        (watch, lay_aside): (Watch, LayAside),
        queues: Vec<ConsumerId>,
        commands: mpsc::Receiver<Command>,
        (status, server): (watch::Sender<Status>, watch::Sender<Arc<str>>),
    ) -> Task {
        let (source, acceptances) = broker.unzip();
        Task {
            connector,
            version: options.session.version,
            max_incoming_packet_bytes: options.session.max_incoming_packet_bytes,
            is_eager: options.session.durability == Durability::Either,
            forwarder,
            journal: Handover::new(journal),
            source,
            acceptances,
            clock,
            watch,
            lay_aside,
            queues,
            commands,
            status,
            server,
            way: Way::Closed,
            greeting: Greeting::default(),
            better: None,
            gathering: None,
            outputs: Vec::new(),
            spare_outputs: Vec::new(),
            publications: Vec::new(),
            publishing: None,
        }
    }

    pub(super) async fn run(
        mut self,
        committed: Sequence,
        mut presence: watch::Receiver<PresenceMap>,
        mut boots: watch::Receiver<Boots>,
        mut stop: watch::Receiver<bool>,
    ) {
        for consumer in self.queues.clone() {
            self.handle(Input::Available { consumer, through: committed });
        }
        let now = presence.borrow_and_update().clone();
        self.handle(Input::Presence(now));
        loop {
            self.carry_out();
            self.publish_status();
            let wake = self.wait(&mut presence, &mut boots, &mut stop).await;
            match wake {
                Wake::Stop => break,
                Wake::Timeout => self.handle(Input::Timeout),
                Wake::Opened(opened) => self.opened(opened),
                Wake::Happened(happening) => self.happened(happening),
                Wake::Journal(Ok(replies)) => replies.into_iter().for_each(|reply| self.reply(reply)),
                Wake::JournalHasRoom(Ok(())) => self.journal.has_room(),
                Wake::HandoverDue | Wake::Gathered | Wake::Published(Ok(())) => {}
                // The gateway is going down.
                Wake::Journal(Err(_)) | Wake::JournalHasRoom(Err(_)) | Wake::Published(Err(_)) => break,
                Wake::Accepted(Some(Accepted { token, outcome })) => {
                    self.handle(Input::Accepted { token, outcome });
                }
                Wake::Accepted(None) => self.acceptances = None,
                Wake::Better => self.handle(Input::Prefer),
                Wake::Presence(wanted) => self.handle(Input::Presence(wanted)),
                Wake::Boots(boots) => self.handle(Input::Clock(boots)),
                Wake::Command(Command::Pause) => self.handle(Input::Pause),
                Wake::Command(Command::Resume) => self.handle(Input::Resume),
                Wake::Command(Command::Discard) => self.handle(Input::Discard),
            }
        }
        self.say_goodbye().await;
    }

    async fn wait(
        &mut self,
        presence: &mut watch::Receiver<PresenceMap>,
        boots: &mut watch::Receiver<Boots>,
        stop: &mut watch::Receiver<bool>,
    ) -> Wake {
        let now = (self.clock)().monotonic;
        let until = self.forwarder.next_timeout().map(|at| at.since(now));
        // What the journal does not take is bounded by the window. What the broker does not take is bounded by
        // nothing, so the server is not listened to meanwhile.
        let listen = self.publishing.is_none() && self.gathering.is_none();
        let due = self.journal.due().map(|at| at.since(now));
        tokio::select! {
            () = sleep(until.unwrap_or(Duration::MAX)), if until.is_some() => Wake::Timeout,
            () = sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => Wake::HandoverDue,
            wake = travel(&mut self.way, listen) => wake,
            replies = self.journal.replies() => Wake::Journal(replies),
            room = self.journal.room() => Wake::JournalHasRoom(room),
            accepted = next_acceptance(&mut self.acceptances) => Wake::Accepted(accepted),
            published = finish(&mut self.publishing) => {
                self.publishing = None;
                Wake::Published(published)
            }
            () = rest(&mut self.gathering) => {
                self.gathering = None;
                Wake::Gathered
            }
            () = prefer(&mut self.better) => {
                self.better = None;
                Wake::Better
            }
            Ok(()) = presence.changed() => Wake::Presence(presence.borrow_and_update().clone()),
            Ok(()) = boots.changed() => Wake::Boots(boots.borrow_and_update().clone()),
            Some(command) = self.commands.recv() => Wake::Command(command),
            // Stops, too, when nobody holds the uplink any more.
            _ = stop.changed() => Wake::Stop,
        }
    }

    fn handle(&mut self, input: Input) {
        self.forwarder.handle((self.clock)(), input, &mut self.outputs);
    }

    fn opened(&mut self, opened: Result<Opened, String>) {
        match opened {
            Ok(Opened { stream, is_another, login, server }) => {
                self.greeting = Greeting { is_another, login, server, answered: false };
                let connection = Connection::new(stream, self.version, self.max_incoming_packet_bytes);
                self.way = Way::Open(Box::new(connection));
                self.handle(Input::Opened);
            }
            Err(words) => {
                self.way = Way::Closed;
                self.handle(Input::Closed(words));
            }
        }
    }

    /// Completes CONNECT with what is only known now.
    fn complete(&self, packet: &mut Packet) {
        let Packet::Connect(connect) = packet else { return };
        if self.greeting.is_another {
            connect.clean_start = true;
        }
        if let Some(login) = &self.greeting.login {
            connect.username.clone_from(&login.username);
            connect.password.clone_from(&login.password);
        }
    }

    /// A server that does not take us is not asked again while there is another.
    fn closed(&mut self) {
        if matches!(self.way, Way::Open(_)) && !self.greeting.answered {
            self.connector.refused();
        }
        self.better = None;
        self.way = Way::Closed;
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Packets(packets) => {
                if !self.greeting.answered && packets.iter().any(accepts) {
                    self.greeting.answered = true;
                    self.server.send_replace(Arc::clone(&self.greeting.server));
                    self.better = Some(self.connector.accepted());
                }
                self.handle(Input::Packets(packets));
                if self.forwarder.status().in_flight >= UPLINK_GATHER_FROM {
                    self.gathering = Some(Box::pin(sleep(UPLINK_GATHER_FOR)));
                }
            }
            Happening::WriteBlocked => self.handle(Input::WriteBlocked),
            Happening::WriteAdvanced => self.handle(Input::WriteAdvanced),
            Happening::Closed(words) => {
                self.closed();
                self.handle(Input::Closed(words));
            }
        }
    }

    fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Committed { ticket } => self.handle(Input::Committed { ticket }),
            Reply::Loaded(loaded) => {
                self.handle(Input::Loaded { deliveries: loaded.deliveries, through: loaded.through });
            }
            Reply::Available { consumer, through } => self.handle(Input::Available { consumer, through }),
            Reply::Dropped { count, reason, .. } => self.handle(Input::Dropped { count, reason }),
            Reply::Health(_) => {}
        }
    }

    /// Carries out what the forwarder said, and what could not be carried out before.
    fn carry_out(&mut self) {
        let now = (self.clock)().monotonic;
        while !self.outputs.is_empty() {
            let mut outputs = std::mem::replace(&mut self.outputs, std::mem::take(&mut self.spare_outputs));
            for output in outputs.drain(..) {
                self.carry_out_one(now, output);
            }
            outputs.shrink_to(OUTPUTS_KEPT);
            self.spare_outputs = outputs;
        }
        self.journal.offer(now);
        self.hand_to_broker();
    }

    fn carry_out_one(&mut self, now: Instant, output: Output) {
        match output {
            Output::Open => self.way = Way::Opening(self.connector.open()),
            Output::Send(mut packet) => {
                self.complete(&mut packet);
                if let Way::Open(connection) = &mut self.way
                    && let Err(error) = connection.send(&packet)
                {
                    self.way = Way::Closed;
                    self.handle(Input::Closed(format!("what is to be sent cannot be said: {error}")));
                }
            }
            Output::Publish(packets) => {
                if let Way::Open(connection) = &mut self.way {
                    connection.send_encoded(&packets);
                }
            }
            Output::Close => {
                if !self.greeting.answered {
                    self.connector.refused();
                }
                self.better = None;
                if let Way::Open(mut connection) = std::mem::replace(&mut self.way, Way::Closed) {
                    connection.write_now();
                }
            }
            Output::Load { consumer, after, max_messages, max_bytes } => {
                let committed_only = !self.is_eager;
                self.journal.load(Load { consumer, after, max_messages, max_bytes, committed_only });
            }
            Output::Append { ticket, urgency, record } => self.journal.append(now, ticket, urgency, *record),
            Output::Done { ticket, consumer, sequence } => {
                self.journal.append(now, ticket, Urgency::Lingers, Record::Done { consumer, sequence });
            }
            Output::Ingest { token, message, urgency } => {
                let relay = Relay::AllBut(self.forwarder.consumer());
                self.publications.push(Publication { token, message: *message, relay, urgency });
            }
            Output::DeadLetter(letter) => (self.lay_aside)(&letter),
            Output::Event(event) => (self.watch)(&event),
        }
    }

    fn hand_to_broker(&mut self) {
        if self.publications.is_empty() || self.publishing.is_some() {
            return;
        }
        let publications = std::mem::take(&mut self.publications);
        // Without a broker nothing was subscribed; what the server sends all the same is nobody's.
        let Some(source) = &self.source else { return };
        if let Err(publications) = source.try_publish(publications) {
            let source = source.clone();
            self.publishing = Some(Box::pin(async move { source.publish(publications).await }));
        }
    }

    fn publish_status(&self) {
        let status = self.forwarder.status();
        self.status.send_if_modified(|shared| {
            let changed = shared != status;
            if changed {
                shared.clone_from(status);
            }
            changed
        });
    }

    async fn say_goodbye(mut self) {
        let mut outputs = Vec::new();
        self.forwarder.handle((self.clock)(), Input::Stop, &mut outputs);
        // The last word is written out before the connection is closed.
        let (closing, last_words) = outputs.into_iter().partition(|output| matches!(output, Output::Close));
        self.outputs.extend::<Vec<_>>(last_words);
        self.carry_out();
        if let Way::Open(connection) = &mut self.way {
            let _ = timeout(UPLINK_GOODBYE_DEADLINE, connection.drain()).await;
        }
        self.outputs = closing;
        self.carry_out();
        self.publish_status();
        let _ = self.journal.finish().await;
    }
}

/// The next thing that happens on the way to the server.
async fn travel(way: &mut Way, read: bool) -> Wake {
    match way {
        Way::Closed => std::future::pending().await,
        Way::Opening(opening) => Wake::Opened(opening.await),
        Way::Open(connection) => Wake::Happened(connection.next(read).await),
    }
}

async fn next_acceptance(acceptances: &mut Option<Acceptances>) -> Option<Accepted> {
    match acceptances {
        Some(acceptances) => acceptances.next().await,
        None => std::future::pending().await,
    }
}

async fn rest(gathering: &mut Option<Pin<Box<Sleep>>>) {
    match gathering {
        Some(gathering) => gathering.await,
        None => std::future::pending().await,
    }
}

async fn prefer(better: &mut Option<Better>) {
    match better {
        Some(better) => better.await,
        None => std::future::pending().await,
    }
}

async fn finish(publishing: &mut Option<Publishing>) -> Result<(), Stopped> {
    match publishing {
        Some(publishing) => publishing.await,
        None => std::future::pending().await,
    }
}
