//! What really arrives at the server, seen by a client that we did not write: `mosquitto_sub`, which keeps its
//! session at QoS 2 when the server was away (rumqttc does not).

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::mosquitto::skip;

pub struct Observer {
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Observer {
    /// Subscribes to everything, in a session of its own; returns when the server has granted it. `None`, and the
    /// skip counted, where `mosquitto_sub` is not installed.
    pub async fn start(test: &str, name: &str, port: u16) -> Option<Observer> {
        // By itself it shows nothing before the first message.
        let started = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub"])
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-i",
                name,
                "-c",
                "-q",
                "2",
                "-t",
                "t/#",
                "-d",
                "-F",
                "%t %p",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut process) = started else {
            skip(&format!("{test}: mosquitto_sub is not installed"));
            return None;
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        while !lines.next_line().await.unwrap().unwrap().starts_with("Subscribed") {}
        Some(Observer { lines, _process: process })
    }

    /// What arrives until the last of `1..=through` has, and for a moment after.
    pub async fn until(&mut self, through: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        let mut missing: BTreeSet<u64> = (1..=through).collect();
        while !missing.is_empty() {
            let Ok(number) = timeout(Duration::from_secs(60), self.next()).await else {
                panic!("{} are missing, the first is {:?}", missing.len(), missing.first());
            };
            missing.remove(&number);
            seen.push(number);
        }
        while let Ok(number) = timeout(Duration::from_millis(300), self.next()).await {
            seen.push(number);
        }
        seen
    }

    async fn next(&mut self) -> u64 {
        loop {
            let line = self.lines.next_line().await.unwrap().expect("mosquitto_sub goes on");
            // The others are what it says of itself.
            if let Some((topic, number)) = line.strip_prefix("t/").and_then(|rest| rest.split_once(' ')) {
                let number = number.parse().unwrap();
                assert_eq!(topic.parse(), Ok(number % 10));
                return number;
            }
        }
    }
}
