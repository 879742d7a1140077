//! One history: clients, sensors, a cloud and the gateway in virtual time, with everything that goes wrong.
//!
//! First a storm, in which connections break, the cloud fails and the gateway dies; then calm, in which all that
//! is owed must arrive. Chance comes from the seed alone.

mod life;
mod people;
mod sensors;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate::broker::ConnectionId;
use tidegate::mqtt::QoS;
use tidegate::time::{BootId, Instant};

use crate::agenda::{Agenda, earlier};
use crate::client::Client;
use crate::cloud::{Cloud, Mood};
use crate::crash_disk::Tear;
use crate::disk::PlantedDisk;
use crate::gateway::Gateway;
use crate::plan::Plan;
use crate::random::Random;
use crate::retained;
use crate::subscriber::Session;
use crate::truth::Truth;
use crate::wire::Wire;

/// How long calm may take until everything owed has arrived.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long the auditor waits for one topic before it asks for the next.
const AUDITOR_WAITS: Duration = Duration::from_millis(500);

/// What happens next.
#[derive(Debug)]
enum Event {
    /// A client does something.
    Acts(usize),
    /// A sensor reads.
    Reads(usize),
    ArrivesAtGateway(ConnectionId),
    ArrivesAtClient(ConnectionId),
    UplinkOpens(u64),
    ArrivesAtCloud(u64),
    ArrivesAtUplink(u64),
    CloudChanges,
    DiskChanges,
    /// Somebody sets the wall clock, or it turns out to be wrong.
    ClockJumps,
    /// The gateway is about to die.
    Strikes,
    Starts,
    StormEnds,
    /// The auditor asks for what is retained.
    AuditorAsks(String),
    /// The auditor has seen enough.
    AuditEnds,
    /// The client is long silent: its connection must have been closed.
    MustBeClosed(ConnectionId),
}

/// What a history was like, for the summary.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub virtual_time: Duration,
    pub messages: u64,
    pub acknowledgements: u64,
    pub deliveries: u64,
    pub repetitions: u64,
    pub deaths: u64,
    pub power_cuts: u64,
    pub dropped: u64,
    /// Messages that were never written, because everybody had them before.
    pub spared: u64,
    /// Different crashes: each at another operation of the disk or with another tear, and after something was acknowledged.
    pub crash_points: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Storm,
    Calm,
    Audit,
    Over,
}

/// One history.
pub struct World {
    plan: Plan,
    random: Random,
    now: Instant,
    agenda: Agenda<Event>,
    weather: Weather,
    calm_since: Instant,
    disk: PlantedDisk,
    gateway: Option<Gateway>,
    boot: BootId,
    boot_started: Instant,
    wall_clock_ahead_ms: i64,
    clock_is_synced: bool,
    wires: BTreeMap<ConnectionId, Wire>,
    owners: BTreeMap<ConnectionId, usize>,
    next_connection: u64,
    clients: Vec<Client>,
    cloud: Cloud,
    uplink: Option<Wire>,
    /// Which of the uplink's connections `uplink` is.
    uplink_attempt: u64,
    open_readings: Vec<usize>,
    /// Connections of clients that went silent, which the gateway has still time to close.
    silent_connections: usize,
    truth: Truth,
    /// The most messages for the uplink in one commit so far, where it has a share.
    largest_commit: u64,
    crash_points: BTreeSet<(u64, Option<Tear>)>,
    account: Account,
    shows: bool,
}

impl World {
    pub fn new(plan: Plan, shows: bool) -> World {
        let mut random = Random::new(plan.seed ^ 0x5EED);
        let clients: Vec<Client> = plan
            .clients
            .iter()
            .cloned()
            .enumerate()
            .map(|(i, c)| Client::new(i, c, plan.reuses_identifiers))
            .collect();
        let truth = Truth::new(&plan);
        let disk = PlantedDisk::new(random.number(), plan.bug);
        World {
            random,
            now: Instant::ZERO,
            agenda: Agenda::default(),
            weather: Weather::Storm,
            calm_since: Instant::ZERO,
            disk,
            gateway: None,
            boot: BootId(1),
            boot_started: Instant::ZERO,
            wall_clock_ahead_ms: 0,
            clock_is_synced: true,
            wires: BTreeMap::new(),
            owners: BTreeMap::new(),
            next_connection: 1,
            clients,
            cloud: Cloud::new(plan.uplink_version),
            uplink: None,
            uplink_attempt: 0,
            open_readings: Vec::new(),
            silent_connections: 0,
            truth,
            largest_commit: 0,
            crash_points: BTreeSet::new(),
            account: Account::default(),
            shows,
            plan,
        }
    }

    /// Lives the whole history; panics where an invariant is broken.
    pub fn run(mut self) -> Account {
        self.agenda.enter(self.now, Event::Starts);
        for client in 0..self.clients.len() {
            self.in_a_while(50, Event::Acts(client));
        }
        for sensor in 0..self.plan.sensors {
            self.in_a_while(200, Event::Reads(sensor));
        }
        self.in_a_while(1_000, Event::CloudChanges);
        if self.plan.disk_is_bad {
            self.in_a_while(500, Event::DiskChanges);
        }
        if self.plan.clock_jumps {
            self.in_a_while(300, Event::ClockJumps);
        }
        self.strikes_later();
        self.agenda.enter(self.now + self.plan.storm, Event::StormEnds);
        while self.weather != Weather::Over {
            self.step();
        }
        self.account.spared += self.gateway.as_ref().map_or(0, Gateway::spared);
        Account {
            virtual_time: self.now.since(Instant::ZERO),
            messages: self.truth.sent.len() as u64,
            acknowledgements: self.truth.acknowledgements,
            deliveries: self.truth.deliveries,
            repetitions: self.truth.repetitions,
            dropped: self.truth.dropped.values().sum(),
            crash_points: self.crash_points.len() as u64,
            ..self.account
        }
    }

    fn step(&mut self) {
        let wakes_at = self.gateway.as_ref().and_then(Gateway::wakes_at).map(|at| self.world_time(at));
        let next = earlier(self.agenda.next_at(), wakes_at).expect("something always comes");
        self.now = self.now.max(next);
        if let Some(event) = self.agenda.due(self.now) {
            self.happens(event);
        } else {
            let mut effects = Vec::new();
            let moment = self.moment();
            let lives = self.gateway.as_mut().is_none_or(|gateway| gateway.run(moment, &mut effects));
            effects.into_iter().for_each(|effect| self.takes_effect(effect));
            if !lives {
                self.dies();
            }
        }
        if self.weather == Weather::Calm {
            self.looks_whether_all_is_well();
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Acts(client) => self.acts(client),
            Event::Reads(sensor) => self.reads(sensor),
            Event::ArrivesAtGateway(connection) => self.arrives_at_gateway(connection),
            Event::ArrivesAtClient(connection) => self.arrives_at_client(connection),
            Event::UplinkOpens(attempt) => self.uplink_opens(attempt),
            Event::ArrivesAtCloud(attempt) => self.arrives_at_cloud(attempt),
            Event::ArrivesAtUplink(attempt) => self.arrives_at_uplink(attempt),
            Event::CloudChanges => self.cloud_changes(),
            Event::DiskChanges => self.disk_changes(),
            Event::ClockJumps => self.clock_jumps(),
            Event::Strikes => self.strikes(),
            Event::Starts => self.starts(),
            Event::StormEnds => self.storm_ends(),
            Event::AuditorAsks(filter) => self.auditor_asks(filter),
            Event::AuditEnds => self.audit_ends(),
            Event::MustBeClosed(connection) => {
                self.silent_connections -= 1;
                let is_open = self.wires.get(&connection).is_some_and(|wire| wire.listener);
                assert!(
                    !is_open,
                    "{connection:?} is silent for more than 1.5 x its keep-alive [MQTT-3.1.2-22]"
                );
            }
        }
    }

    fn storm_ends(&mut self) {
        self.show("calm");
        self.weather = Weather::Calm;
        self.calm_since = self.now;
        self.disk.power_stays();
        self.disk.is_well();
        self.plan.latency = self.plan.latency.min(Duration::from_millis(5));
        self.wires.values_mut().chain(&mut self.uplink).for_each(Wire::calms);
        self.clients.iter_mut().for_each(|client| client.character.is_slow = false);
        self.cloud.mood = Mood::Well;
        self.cloud_breaks();
    }

    fn looks_whether_all_is_well(&mut self) {
        let waited = self.now.since(self.calm_since);
        let open = self.clients.iter().filter(|client| client.has_open_publishes()).count();
        let owed = self.truth.owed_count();
        // What was counted as dropped is missed only after everything else had time to arrive.
        let is_excused = owed <= self.truth.excused() && waited > Duration::from_secs(20);
        let is_well = (owed == 0 || is_excused)
            && open == 0
            && self.open_readings.is_empty()
            && self.silent_connections == 0
            && self.gateway.is_some();
        if is_well && waited > Duration::from_secs(1) {
            self.audit_begins();
        } else {
            let lines = || self.truth.owed().join("\n");
            assert!(
                waited < PATIENCE,
                "after {waited:?} of calm, {open} clients wait for answers, and\n{}",
                lines()
            );
        }
    }

    /// A client that was not there before asks for everything that is retained.
    fn audit_begins(&mut self) {
        self.weather = Weather::Audit;
        let auditor = self.clients.len();
        self.clients.push(Client::auditor(auditor));
        self.truth.sessions.push(Session::default());
        self.connects(auditor, true);
        // One topic after the other, where hardly anything may wait for it.
        let filters = if self.plan.queues_are_tight {
            let now = self.truth.step();
            retained::surely_retained(&self.truth.sent, now).into_iter().map(|(topic, _)| topic).collect()
        } else {
            vec!["#".to_owned()]
        };
        // Whatever the broker is told waits behind commits that were asked for before.
        let slow = 10 * self.plan.slowest_commit;
        let mut at = self.now;
        for filter in filters {
            self.agenda.enter(at, Event::AuditorAsks(filter));
            at = at + AUDITOR_WAITS + slow;
        }
        self.agenda.enter(at + Duration::from_secs(1) + slow, Event::AuditEnds);
    }

    fn auditor_asks(&mut self, filter: String) {
        let auditor = self.clients.len() - 1;
        let packet = self.clients[auditor].subscribe(vec![(filter, QoS::AtLeastOnce)], &mut self.truth);
        self.client_sends(auditor, packet);
    }

    fn audit_ends(&mut self) {
        let now = self.truth.step();
        let auditor = self.truth.sessions.last().expect("the auditor's");
        for (topic, possible) in retained::surely_retained(&self.truth.sent, now) {
            let found = auditor.retained(&topic);
            assert!(
                found.is_some_and(|id| possible.contains(&id)),
                "{topic} retains {found:?}, not one of {possible:?}"
            );
        }
        self.weather = Weather::Over;
    }

    fn in_a_while(&mut self, millis: u64, event: Event) {
        let micros = self.random.below(millis * 1000 + 1);
        self.agenda.enter(self.now + Duration::from_micros(micros), event);
    }

    fn show(&self, what: &str) {
        if self.shows {
            println!("{:>12.6} {what}", self.now.since(Instant::ZERO).as_secs_f64());
        }
    }
}
