//! The uplink against Debian's mosquitto: forwarding at QoS 1 and 2, a server that is restarted, a gateway that is
//! killed. What arrives is judged by a client that we did not write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod gateway;
mod mosquitto;
mod observer;

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
            let Some(mut observer) = Observer::start(test, &name, mosquitto.port).await else { return };
            let mut gateway = Gateway::start(folder.path(), mosquitto.port, speaking(version)).await;
            gateway.keep(2000, qos).await;
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
        let Some(mut observer) = Observer::start(test, "observer", mosquitto.port).await else { return };
        let mut gateway = Gateway::start(folder.path(), mosquitto.port, |_| {}).await;
        gateway.keep(20_000, qos).await;
        gateway.until(|status| status.acknowledged > 1000).await;
        mosquitto.down();
        gateway.until(|status| status.connected_since.is_none()).await;
        gateway.keep(100, qos).await;
        mosquitto.up();
        let seen = observer.until(20_100).await;
        let status = gateway.until(|status| status.in_flight == 0).await;
        let double = seen.len() - 20_100;
        assert!(qos == QoS::AtLeastOnce || double == 0, "{double} came twice at QoS 2");
        assert!(u64::try_from(double).unwrap() <= status.possible_duplicates, "{double}, {status:?}");
        gateway.stop().await;
    }
}
