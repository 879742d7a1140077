//! The link to the cloud is lost while readings flow, and the gateway is killed in the middle of it.

use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::namespace::Namespace;
use crate::observer::{Observer, Reading, duplicates_in_order, missing};
use crate::rig::{has, is_root, outage, wait_for};
use crate::sensor::Sensor;
use crate::upstream::Upstream;
use crate::witness::{Seen, Witness};

const SENSORS: usize = 2;
const READINGS: u64 = 1_500;

/// Whether the sensors are quiet while the gateway dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// Everything said is accepted when the signal comes, so that nothing at all may be missing.
    WhileQuiet,
    /// Readings flow on: of them only the uncommitted tail may be missing.
    WhileReadingsFlow,
}

#[test]
fn an_upstream_that_is_gone_for_a_while_gets_everything_accepted_although_the_gateway_was_killed() {
    if has("mosquitto") && has("setpriv") {
        Scene::new(None).play(Kill::WhileQuiet);
    }
}

#[test]
fn a_kill_in_the_flow_costs_at_most_the_uncommitted_tail() {
    if has("mosquitto") && has("setpriv") {
        Scene::new(None).play(Kill::WhileReadingsFlow);
    }
}

#[test]
fn a_black_hole_costs_nothing_that_was_accepted() {
    if has("mosquitto") && has("setpriv") && has("ip") && has("iptables") && is_root() {
        Scene::new(Some(Namespace::new())).play(Kill::WhileQuiet);
    }
}

#[test]
fn in_a_black_hole_a_kill_in_the_flow_costs_at_most_the_uncommitted_tail() {
    if has("mosquitto") && has("setpriv") && has("ip") && has("iptables") && is_root() {
        Scene::new(Some(Namespace::new())).play(Kill::WhileReadingsFlow);
    }
}

/// Two sensors, the gateway, a witness at its broker, the cloud and an observer there.
struct Scene {
    // Dropped in this order: processes before the network and the folder that they use.
    gateway: Gateway,
    upstream: Upstream,
    observer: Observer,
    witness: Option<Witness>,
    sensors: Vec<Sensor>,
    namespace: Option<Namespace>,
    _folder: TempDir,
    said: u64,
    accepted: Vec<Reading>,
}

impl Scene {
    fn new(namespace: Option<Namespace>) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(folder.path(), namespace.as_ref());
        let localhost = std::net::Ipv4Addr::LOCALHOST;
        let observed = namespace.as_ref().map_or(localhost, Namespace::observed_address);
        let observer = Observer::start(observed, upstream.port);
        let sensors: Vec<Sensor> = (0..SENSORS).map(|_| Sensor::new()).collect();
        let address = namespace.as_ref().map_or(localhost, Namespace::address);
        let gateway = Gateway::start(folder.path(), &format!("{address}:{}", upstream.port), &sensors);
        let witness = Some(Witness::start(gateway.port));
        let accepted = Vec::new();
        Scene { gateway, upstream, observer, witness, sensors, namespace, _folder: folder, said: 0, accepted }
    }

    fn play(mut self, kill: Kill) {
        self.until_the_ports_are_read();
        let first = self.said;
        self.readings_flow(READINGS / 10, Duration::ZERO);
        self.link_goes();
        let (before, after) = (READINGS * 4 / 10, READINGS - READINGS / 10 - READINGS * 4 / 10);
        self.readings_flow(before, outage() / 2);
        if kill == Kill::WhileQuiet {
            self.until_all_is_accepted(first);
        }
        self.gateway_is_killed();
        self.gateway.start_again();
        self.witness = Some(Witness::start(self.gateway.port));
        self.until_the_ports_are_read();
        let first = self.said;
        self.readings_flow(after, outage() / 2);
        self.link_returns();
        self.until_all_is_accepted(first);
        let seen = self.witness.take().expect("a witness").end();
        self.accept(&seen);
        self.judge();
    }

    /// A port is read when what is said there is seen; until then nobody listens.
    fn until_the_ports_are_read(&mut self) {
        for index in 0..self.sensors.len() {
            let name = format!("s{index}");
            wait_for(&format!("readings of {name}"), Duration::from_secs(30), || {
                let n = self.said;
                self.said += 1;
                self.sensors[index].say(n);
                thread::sleep(Duration::from_millis(50));
                self.seen().live.iter().any(|reading| reading.sensor == name).then_some(())
            });
        }
    }

    /// Each sensor says so many readings, evenly over this time.
    fn readings_flow(&mut self, readings: u64, over: Duration) {
        let start = Instant::now();
        for index in 0..readings {
            let n = self.said;
            self.said += 1;
            self.sensors.iter_mut().for_each(|sensor| sensor.say(n));
            let due = start
                + over.mul_f64((index + 1) as f64 / readings as f64).max(Duration::from_millis(index + 1));
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Everything said since `first` was taken in and is on disk.
    fn until_all_is_accepted(&mut self, first: u64) {
        let all = (self.said - first) * SENSORS as u64;
        wait_for("everything said to be accepted", Duration::from_secs(20), || {
            let seen = self.seen();
            let accepted = seen.live[..seen.accepted].iter().filter(|reading| reading.n >= first).count();
            (accepted as u64 == all).then_some(())
        });
    }

    fn gateway_is_killed(&mut self) {
        self.gateway.kill();
        let seen = self.witness.take().expect("a witness").end();
        self.accept(&seen);
        self.sensors.iter().for_each(Sensor::freed);
    }

    fn link_goes(&mut self) {
        match &self.namespace {
            Some(namespace) => namespace.swallow(),
            None => self.upstream.stop(),
        }
    }

    fn link_returns(&mut self) {
        match &self.namespace {
            Some(namespace) => namespace.pass(),
            None => self.upstream.start_again(None),
        }
    }

    fn seen(&self) -> Seen {
        self.witness.as_ref().expect("a witness").seen()
    }

    fn accept(&mut self, seen: &Seen) {
        self.accepted.extend_from_slice(&seen.live[..seen.accepted]);
    }

    fn judge(mut self) {
        self.observer.wait_for_all(&self.accepted);
        self.gateway.stop();
        let arrived = self.observer.readings();
        let duplicates = duplicates_in_order(&arrived);
        let said = self.said * SENSORS as u64;
        let lost = missing(&self.accepted, &arrived);
        println!(
            "said at most {said}, accepted {}, arrived {} and {duplicates} more than once, {} repeated by the cloud, lost {}",
            self.accepted.len(),
            arrived.len() - duplicates,
            self.observer.repeated_by_cloud(),
            lost.len(),
        );
        assert!(self.accepted.len() as u64 >= READINGS * SENSORS as u64 / 2, "hardly anything was accepted");
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}
