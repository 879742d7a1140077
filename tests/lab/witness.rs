//! A client of the embedded broker that learns which readings are accepted.
//!
//! It sees readings live, which promises nothing; then it publishes a barrier at QoS 1. When the barrier is
//! acknowledged, the disk has everything that was taken in before it: those readings are accepted.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rumqttc::{Client, Connection, Event, MqttOptions, Outgoing, Packet, QoS};

use crate::observer::{Reading, parse};

/// What one life of the gateway has shown.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// On the live stream.
    pub live: Vec<Reading>,
    /// How many of them, from the first, are accepted.
    pub accepted: usize,
}

/// Watches one life of the gateway.
pub struct Witness {
    client: Client,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<()>,
}

impl Witness {
    pub fn start(port: u16) -> Witness {
        let mut options = MqttOptions::new("witness", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(5));
        let (client, connection) = Client::new(options, 1_000);
        client.subscribe("tidegate/lab/+/state", QoS::AtMostOnce).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let thread = thread::spawn({
            let (client, seen) = (client.clone(), Arc::clone(&seen));
            move || watch(&client, connection, &seen)
        });
        Witness { client, seen, thread }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// The gateway is dead: what was accepted before.
    pub fn end(self) -> Seen {
        let _ = self.client.try_disconnect();
        self.thread.join().unwrap();
        self.seen.lock().unwrap().clone()
    }
}

fn watch(client: &Client, mut connection: Connection, seen: &Mutex<Seen>) {
    // How many live readings the barrier stands behind that is waited for.
    let mut barrier = None;
    for event in connection.iter() {
        // Never connected anew: what a new connection acknowledges says nothing of an older life.
        let Ok(event) = event else { return };
        let mut seen = seen.lock().unwrap();
        match event {
            Event::Incoming(Packet::Publish(publish)) => {
                seen.live.extend(parse(&publish.topic, &publish.payload))
            }
            Event::Incoming(Packet::PubAck(_)) => {
                seen.accepted = barrier.take().expect("only barriers are acknowledged");
            }
            Event::Outgoing(Outgoing::Disconnect) => return,
            _ => {}
        }
        if barrier.is_none() && seen.live.len() > seen.accepted {
            barrier = Some(seen.live.len());
            client.try_publish("tidegate/lab/barrier", QoS::AtLeastOnce, false, "").unwrap();
        }
    }
}
