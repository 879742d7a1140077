//! What really arrived at the server, seen by a client that we did not write: `mosquitto_sub`, whose session the
//! server keeps while it is not there.

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
    /// Subscribes to everything, in a session of its own that the server keeps; `false`, and the skip counted, where
    /// `mosquitto_sub` is not installed.
    pub async fn subscribe(test: &str, name: &str, port: u16) -> bool {
        let subscribed = command(name, port).arg("-E").stdout(Stdio::null()).status().await;
        if subscribed.is_err() {
            skip(&format!("{test}: mosquitto_sub is not installed"));
        }
        subscribed.is_ok_and(|status| status.success())
    }

    /// Waits until the server takes clients: a cluster that lost a node refuses them until it has agreed on who leads,
    /// and `mosquitto_sub` gives up when it is refused.
    pub async fn wait_for(port: u16) {
        let probe = || {
            let mut command = Command::new("mosquitto_sub");
            command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-i", "probe", "-t", "probe", "-E"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).status()
        };
        let taken = async { while !probe().await.is_ok_and(|status| status.success()) {} };
        timeout(Duration::from_secs(120), taken).await.expect("the server takes clients again");
    }

    /// Takes up such a session: everything that arrived meanwhile comes, then what arrives.
    ///
    /// Not for a time in which the server is restarted: the way from the server to us would be judged too.
    pub fn start(name: &str, port: u16) -> Observer {
        let mut process = command(name, port).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Observer { lines, _process: process }
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
        let line = self.lines.next_line().await.unwrap().expect("mosquitto_sub goes on");
        let (topic, number) = line.strip_prefix("t/").and_then(|rest| rest.split_once(' ')).unwrap();
        let number = number.parse().unwrap();
        assert_eq!(topic.parse(), Ok(number % 10));
        number
    }
}

fn command(name: &str, port: u16) -> Command {
    let mut command = Command::new("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-i", name, "-c", "-q", "2"]);
    command.args(["-t", "t/#", "-F", "%t %p"]).stderr(Stdio::null());
    command
}
