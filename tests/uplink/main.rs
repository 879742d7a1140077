//! The uplink against Debian's mosquitto: forwarding at QoS 1 and 2, a server that is restarted, a gateway that is
//! killed. What arrives is judged by a client that we did not write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::as_conversions,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../simulation/crash_disk.rs"]
mod crash_disk;
mod gateway;
mod hostile;
mod hour;
mod metered;
mod mosquitto;
mod nats;
mod observer;
#[path = "../lab/process.rs"]
#[allow(dead_code, reason = "made for the lab")]
mod process;
mod rabbitmq;
#[path = "../lab/rig.rs"]
#[allow(dead_code, reason = "made for the lab")]
mod rig;
mod sink;
mod soak;
mod trouble;

use gateway::Gateway;
use mosquitto::Mosquitto;
use observer::Observer;
use tidegate::bridge::Options;
use tidegate::mqtt::{ProtocolVersion, QoS};

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V3_1_1, ProtocolVersion::V5];

fn speaking(version: ProtocolVersion) -> impl FnOnce(&mut Options) {
    move |options| options.version = version
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_arrives_once_and_in_order_at_qos_1_and_2_in_both_versions() {
    let test = "forwarding to mosquitto";
    let Some(mosquitto) = Mosquitto::start(test) else { return };
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let folder = tempfile::tempdir().unwrap();
            let name = format!("{version:?}-{qos:?}");
            if !Observer::subscribe(test, &name, mosquitto.port).await {
                return;
            }
            let mut gateway = Gateway::start(folder.path(), mosquitto.port, speaking(version)).await;
            gateway.keep(2000, qos).await;
            let mut observer = Observer::start(&name, mosquitto.port);
            assert_eq!(observer.until(2000).await, (1..=2000).collect::<Vec<_>>(), "{version:?} {qos:?}");
            let status = gateway.until(|status| status.acknowledged == 2000).await;
            assert_eq!((status.possible_duplicates, status.unexpected_acknowledgements), (0, 0));
            gateway.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_while_a_backlog_drains_gets_all_of_it() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let test = "restart of mosquitto";
        let Some(mut mosquitto) = Mosquitto::start(test) else { return };
        let folder = tempfile::tempdir().unwrap();
        if !Observer::subscribe(test, "observer", mosquitto.port).await {
            return;
        }
        let mut gateway = Gateway::start(folder.path(), mosquitto.port, |_| {}).await;
        gateway.keep(20_000, qos).await;
        gateway.until(|status| status.acknowledged > 1000).await;
        mosquitto.down();
        gateway.until(|status| status.connected_since.is_none()).await;
        gateway.keep(100, qos).await;
        mosquitto.up();
        let status = gateway.until(|status| status.acknowledged == 20_100).await;
        let seen = Observer::start("observer", mosquitto.port).until(20_100).await;
        let double = seen.len() - 20_100;
        assert!(qos == QoS::AtLeastOnce || double == 0, "{double} came twice at QoS 2");
        assert!(u64::try_from(double).unwrap() <= status.possible_duplicates, "{double}, {status:?}");
        gateway.stop().await;
    }
}

/// The node that we are connected to dies in the middle of it; nobody tells us where the others are but the list.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_that_loses_a_node_while_a_backlog_drains_loses_nothing() {
    let test = "cluster of RabbitMQ";
    let Some(mut cluster) = rabbitmq::Cluster::start(test) else { return };
    if !Observer::subscribe(test, "observer", cluster.ports[1]).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let change = speaking(ProtocolVersion::V3_1_1);
    let mut gateway = Gateway::of_several(folder.path(), &cluster.ports, change).await;
    gateway.keep(5000, QoS::AtLeastOnce).await;
    gateway.until(|status| status.acknowledged > 500).await;
    gateway.until_at(cluster.ports[0]).await;
    cluster.kill(0);
    gateway.keep(100, QoS::AtLeastOnce).await;
    let status = gateway.until(|status| status.acknowledged == 5100).await;
    gateway.until_at(cluster.ports[1]).await;
    Observer::wait_for(cluster.ports[2]).await;
    let seen = Observer::start("observer", cluster.ports[2]).until(5100).await;
    let double = u64::try_from(seen.len() - 5100).unwrap();
    assert!(double <= status.possible_duplicates, "{double} came twice, {status:?}");
    // The first of the list is preferred, once it is there again.
    cluster.start_again(0);
    gateway.until_at(cluster.ports[0]).await;
    gateway.keep(100, QoS::AtLeastOnce).await;
    gateway.until(|status| status.acknowledged == 5200).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_with_jetstream_that_is_killed_while_a_backlog_drains_gets_all_of_it() {
    let test = "nats-server";
    let Some(mut nats) = nats::Nats::start(test) else { return };
    if !Observer::subscribe(test, "observer", nats.port).await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), nats.port, speaking(ProtocolVersion::V3_1_1)).await;
    gateway.keep(5000, QoS::AtLeastOnce).await;
    gateway.until(|status| status.acknowledged > 500).await;
    nats.kill();
    gateway.keep(100, QoS::AtLeastOnce).await;
    nats.up();
    let status = gateway.until(|status| status.acknowledged == 5100).await;
    let seen = Observer::start("observer", nats.port).until(5100).await;
    let double = u64::try_from(seen.len() - 5100).unwrap();
    assert!(double <= status.possible_duplicates, "{double} came twice, {status:?}");
    gateway.stop().await;
}

/// How fast a backlog drains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants a quiet machine: cargo test --release --test uplink drain_rate -- --ignored --nocapture"]
async fn drain_rate() {
    const MESSAGES: u64 = 200_000;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for server in ["a sink", "mosquitto"] {
            let reserved = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut port = reserved.local_addr().unwrap().port();
            let mut mosquitto = None;
            if server == "mosquitto" {
                let Some(started) = Mosquitto::start("drain rate") else { continue };
                port = started.port;
                mosquitto = Some(started);
            }
            let folder = tempfile::tempdir().unwrap();
            let mut gateway = Gateway::start(folder.path(), 1, |_| {}).await;
            gateway.keep(MESSAGES, qos).await;
            gateway.stop().await;
            if server == "a sink" {
                tokio::spawn(sink::serve(reserved));
            }
            let gateway = Gateway::start(folder.path(), port, |_| {}).await;
            gateway.until(|status| status.acknowledged > 0).await;
            let (started, cpu) = (std::time::Instant::now(), cpu_seconds());
            let first = gateway.uplink.status().acknowledged;
            gateway.until(|status| status.acknowledged == MESSAGES).await;
            let seconds = started.elapsed().as_secs_f64();
            let drained = f64::from(u32::try_from(MESSAGES - first).unwrap());
            eprintln!(
                "{qos:?} to {server}: {:.0} messages/s, {:.2} CPU s per million (sink included), peak RSS {}",
                drained / seconds,
                (cpu_seconds() - cpu) / drained * 1e6,
                peak_memory(),
            );
            gateway.stop().await;
            drop(mosquitto);
        }
    }
}

/// CPU time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
}
