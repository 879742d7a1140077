//! From a cloud broker down to a client on the site: the cloud is a second gateway, the clients are rumqttc's.

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use tokio::time::timeout;

use crate::program::{PATIENCE, Program};

async fn next_publish(events: &mut EventLoop) -> Publish {
    let next = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return publish;
            }
        }
    };
    timeout(PATIENCE, next).await.expect("nothing came down")
}

#[tokio::test]
async fn what_the_cloud_publishes_to_a_received_filter_reaches_the_site_and_nothing_else_does() {
    let cloud = Program::start("");
    let site = Program::start(&format!(
        "[uplink.cloud]\nurl = \"mqtt://127.0.0.1:{}\"\nforward = [\"up/#\"]\nreceive = [\"down/+/set\"]\n",
        cloud.port()
    ));
    let options = MqttOptions::new("on-site", "127.0.0.1", site.address.port());
    let (on_site, mut site_events) = AsyncClient::new(options, 10);
    for filter in ["down/#", "elsewhere"] {
        on_site.subscribe(filter, QoS::ExactlyOnce).await.unwrap();
    }
    let options = MqttOptions::new("in-the-cloud", "127.0.0.1", cloud.address.port());
    let (in_the_cloud, mut cloud_events) = AsyncClient::new(options, 100);
    site.wait_for_line("connected");
    let publishing = tokio::spawn(async move {
        // Retained, for the uplink may not have subscribed yet.
        in_the_cloud.publish("down/a/set", QoS::AtLeastOnce, true, "first").await.unwrap();
        loop {
            cloud_events.poll().await.unwrap();
        }
    });
    let first = next_publish(&mut site_events).await;
    assert_eq!((first.topic.as_str(), first.payload.as_ref()), ("down/a/set", &b"first"[..]));
    publishing.abort();
    let options = MqttOptions::new("in-the-cloud-2", "127.0.0.1", cloud.address.port());
    let (in_the_cloud, mut cloud_events) = AsyncClient::new(options, 100);
    let publishing = tokio::spawn(async move {
        in_the_cloud.publish("elsewhere", QoS::AtLeastOnce, false, "not ours").await.unwrap();
        for number in 0..50 {
            in_the_cloud.publish("down/b/set", QoS::AtLeastOnce, false, number.to_string()).await.unwrap();
        }
        loop {
            cloud_events.poll().await.unwrap();
        }
    });
    for number in 0..50 {
        let publish = next_publish(&mut site_events).await;
        assert_eq!((publish.topic.as_str(), publish.qos), ("down/b/set", QoS::AtLeastOnce));
        assert_eq!(publish.payload, number.to_string());
    }
    publishing.abort();
}
