//! rumqttc against the embedded broker: QoS 2 both ways, a persistent session, take-over, the will.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, Publish, QoS};
use tokio::time::timeout;

use crate::program::{PATIENCE, Program};

/// A connected client, whose events are read one by one.
struct Client {
    client: AsyncClient,
    events: EventLoop,
    session_present: bool,
}

impl Client {
    async fn connect(program: &Program, client_id: &str, set: impl FnOnce(&mut MqttOptions)) -> Client {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", program.address.port());
        options.set_keep_alive(Duration::from_secs(30));
        set(&mut options);
        let (client, events) = AsyncClient::new(options, 1000);
        let mut connected = Client { client, events, session_present: false };
        connected.session_present = connected
            .wait_for(|packet| match packet {
                Packet::ConnAck(connack) => Some(connack.session_present),
                _ => None,
            })
            .await;
        connected
    }

    async fn wait_for<T>(&mut self, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.unwrap()
                    && let Some(found) = wanted(packet)
                {
                    return found;
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("nothing came")
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, qos).await.unwrap();
        self.wait_for(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    }

    async fn message(&mut self) -> Publish {
        let publish = |packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        };
        self.wait_for(publish).await
    }

    async fn publish(&mut self, topic: &str, qos: QoS, payload: &str) {
        self.client.publish(topic, qos, false, payload).await.unwrap();
    }
}

#[tokio::test]
async fn every_message_of_qos_2_arrives_exactly_once_and_in_order() {
    let program = Program::start("");
    let mut subscriber = Client::connect(&program, "s", |_| ()).await;
    subscriber.subscribe("q2", QoS::ExactlyOnce).await;
    let mut publisher = Client::connect(&program, "p", |_| ()).await;
    let publishing = tokio::spawn(async move {
        for number in 0..200 {
            publisher.publish("q2", QoS::ExactlyOnce, &number.to_string()).await;
        }
        let mut completed = 0;
        while completed < 200 {
            publisher.wait_for(|packet| matches!(packet, Packet::PubComp(_)).then_some(())).await;
            completed += 1;
        }
    });
    for number in 0..200 {
        let message = subscriber.message().await;
        assert_eq!((message.payload, message.qos), (number.to_string().into(), QoS::ExactlyOnce));
    }
    publishing.await.unwrap();
    subscriber.publish("q2", QoS::AtMostOnce, "end").await;
    assert_eq!(subscriber.message().await.payload, "end", "nothing came twice");
}

#[tokio::test]
async fn a_persistent_session_is_found_again_with_what_it_missed() {
    let program = Program::start("");
    let persistent = |options: &mut MqttOptions| {
        options.set_clean_session(false);
    };
    let mut session = Client::connect(&program, "keeper", persistent).await;
    assert!(!session.session_present);
    session.subscribe("k/#", QoS::AtLeastOnce).await;
    drop(session);
    let mut publisher = Client::connect(&program, "p", |_| ()).await;
    for number in 0..50 {
        publisher.publish("k/x", QoS::AtLeastOnce, &number.to_string()).await;
    }
    for _ in 0..50 {
        publisher.wait_for(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    }
    let mut session = Client::connect(&program, "keeper", persistent).await;
    assert!(session.session_present);
    for number in 0..50 {
        assert_eq!(session.message().await.payload, number.to_string());
    }
    let session = Client::connect(&program, "keeper", |_| ()).await;
    assert!(!session.session_present, "a clean session forgets [MQTT-3.1.2-6]");
}

#[tokio::test]
async fn a_second_connection_takes_over_and_the_first_is_closed() {
    let program = Program::start("");
    let will = |options: &mut MqttOptions| {
        options.set_last_will(LastWill::new("t/will", "taken over", QoS::AtLeastOnce, false));
    };
    let mut first = Client::connect(&program, "twin", will).await;
    let mut watcher = Client::connect(&program, "w", |_| ()).await;
    watcher.subscribe("t/#", QoS::AtLeastOnce).await;
    let mut second = Client::connect(&program, "twin", |_| ()).await;
    let closed = async { while first.events.poll().await.is_ok() {} };
    timeout(PATIENCE, closed).await.expect("[MQTT-3.1.4-3]: the first connection is closed");
    assert_eq!(watcher.message().await.payload, "taken over");
    second.publish("t/alive", QoS::AtLeastOnce, "second").await;
    second.wait_for(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    assert_eq!(watcher.message().await.payload, "second");
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let program = Program::start("");
    let large = |options: &mut MqttOptions| {
        options.set_max_packet_size(2 * 1024 * 1024, 2 * 1024 * 1024);
    };
    let mut subscriber = Client::connect(&program, "s", large).await;
    subscriber.subscribe("large", QoS::AtLeastOnce).await;
    let payload: String = ('a'..='z').cycle().take(900_000).collect();
    subscriber.publish("large", QoS::AtLeastOnce, &payload).await;
    assert_eq!(subscriber.message().await.payload, payload);
}
