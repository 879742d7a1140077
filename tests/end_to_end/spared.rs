//! `durability = "either"`: what a healthy link spares the disk, and what is kept when the link is cut.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::{Map, Value};
use tidegate::adapter::simulated::{Kind, Simulated};
use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, PublishQoS, ReasonCode, encode,
};

use crate::dashboard::get;
use crate::program::{PATIENCE, Program};

const KIND: Kind = Kind::JsonLines;

/// A server that acknowledges, unless the link is cut.
struct Cloud {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    /// The numbers of the readings that it took.
    numbers: Arc<Mutex<Vec<u64>>>,
}

impl Cloud {
    fn start() -> Cloud {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (is_cut, numbers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let cloud = Cloud {
            address: listener.local_addr().unwrap(),
            is_cut: Arc::clone(&is_cut),
            numbers: Arc::clone(&numbers),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if !is_cut.load(Ordering::Relaxed) {
                    serve(stream, &is_cut, &numbers);
                }
            }
        });
        cloud
    }

    fn count(&self) -> usize {
        self.numbers.lock().unwrap().len()
    }
}

/// Takes what comes over one connection, until it ends or is cut.
fn serve(mut stream: TcpStream, is_cut: &AtomicBool, numbers: &Mutex<Vec<u64>>) {
    let (mut decoder, mut incoming, mut outgoing) =
        (Decoder::of_client(1 << 20), BytesMut::new(), BytesMut::new());
    let mut some = [0; 4096];
    loop {
        let length = stream.read(&mut some).unwrap_or(0);
        if length == 0 || is_cut.load(Ordering::Relaxed) {
            return;
        }
        incoming.extend_from_slice(&some[..length]);
        while let Some((packet, _)) = decoder.decode(&mut incoming).unwrap() {
            let answer = match packet {
                Packet::Connect(_) => Packet::ConnAck(Box::new(ConnAck {
                    session_present: false,
                    reason: ReasonCode::Success,
                    properties: ConnAckProperties::default(),
                })),
                Packet::Publish(publish) => {
                    let state: Option<Map<String, Value>> = serde_json::from_slice(&publish.payload).ok();
                    let is_reading = publish.topic.is_some_and(|topic| topic.as_str().ends_with("/state"));
                    numbers
                        .lock()
                        .unwrap()
                        .extend(state.filter(|_| is_reading).and_then(|state| KIND.number(&state)));
                    let PublishQoS::AtLeastOnce(identifier) = publish.qos else { continue };
                    Packet::PubAck(Acknowledgement::new(identifier, ReasonCode::Success))
                }
                Packet::PingReq => Packet::PingResp,
                _ => continue,
            };
            encode(decoder.version().unwrap(), &answer, &mut outgoing).unwrap();
        }
        if stream.write_all(&outgoing).is_err() {
            return;
        }
        outgoing.clear();
    }
}

/// One of the figures of the running program.
fn metric(http: SocketAddr, name: &str) -> u64 {
    let (_, page) = get(http, "/metrics", "localhost");
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

fn wait_until(is_good: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_good() {
        assert!(start.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two hundred readings over a link that is well are not worth one page of the disk; with the link cut each is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_has_in_time_is_never_written_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start();
    let link = folder.path().join("bench");
    let mut sensor = Simulated::start(KIND, &link, 0, Duration::from_millis(10)).unwrap();
    let program = Program::start(&format!(
        "[http]\naddress = \"127.0.0.1:0\"\n[journal]\ncommit_interval_ms = 3000\n[sensor.bench]\nserial = \"{}\"\nprofile = \"{}\"\n\
         [uplink.cloud]\nurl = \"mqtt://{}\"\ndurability = \"either\"\n",
        link.display(),
        KIND.profile(),
        cloud.address
    ));
    let line = program.wait_for_line("the dashboard is at http://");
    let http: SocketAddr = line.rsplit_once("http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    // What is told once at the start is on disk after one interval, and a busy machine has time to answer.
    wait_until(|| cloud.count() >= 600);
    let (written, spared) = ("tidegate_journal_written_bytes_total", "tidegate_journal_spared_total");
    let (before, count) = (metric(http, written), cloud.count());
    wait_until(|| cloud.count() >= count + 200);
    let (healthy, saved) = (metric(http, written) - before, metric(http, spared));
    println!("a healthy link: {healthy} bytes for 200 readings, {saved} were spared");
    assert!(healthy <= 4096, "{healthy} bytes for 200 readings");
    assert!(saved >= 200, "{saved} were spared");

    cloud.is_cut.store(true, Ordering::Relaxed);
    let (before, committed) = (metric(http, written), metric(http, "tidegate_readings_committed_total"));
    wait_until(|| metric(http, "tidegate_uplink_backlog_messages{uplink=\"cloud\"}") >= 200);
    let (cut, kept) = (metric(http, written) - before, metric(http, "tidegate_readings_committed_total"));
    println!("a cut link: {cut} bytes for {} readings", kept - committed);
    assert!(kept >= committed + 200);
    let next = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(sensor.stop()));
    cloud.is_cut.store(false, Ordering::Relaxed);
    wait_until(|| cloud.numbers.lock().unwrap().last() == Some(&(next - 1)));
    let mut numbers = cloud.numbers.lock().unwrap().clone();
    let first = numbers[0];
    let mut highest = first;
    for number in &numbers {
        assert!(*number <= highest + 1, "{number} comes behind {highest}");
        highest = highest.max(*number);
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (first..next).collect::<Vec<_>>(), "none is missing");
}
