//! Debian's `mosquitto_pub` and `mosquitto_sub`, as 3.1.1 and as 5, against the embedded broker.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use crate::program::Program;
use crate::skip;

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];

fn installed() -> bool {
    let found = Command::new("mosquitto_sub").arg("--help").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip("mosquitto_pub and mosquitto_sub are not installed");
    }
    found
}

fn publish(program: &Program, version: &str, arguments: &[&str]) {
    let output = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &program.port(), "-V", version])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "mosquitto_pub {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A subscriber that prints what it gets, a line per message.
struct Subscriber {
    child: Child,
    lines: BufReader<Box<dyn Read + Send>>,
}

impl Subscriber {
    /// Starts it. `-d` makes it say when SUBACK came, for which it waits: what is published afterwards arrives.
    fn start(program: &Program, version: &str, arguments: &[&str]) -> Subscriber {
        let mut subscriber = Subscriber::come_back(program, version, arguments);
        subscriber.wait_for("Subscribed (mid");
        subscriber
    }

    /// Starts it without waiting: a session that is taken up gets messages ahead of any SUBACK.
    fn come_back(program: &Program, version: &str, arguments: &[&str]) -> Subscriber {
        // It would keep its lines in a buffer when it does not write to a terminal.
        let mut child = Command::new("stdbuf")
            .args([
                "-oL",
                "mosquitto_sub",
                "-h",
                "127.0.0.1",
                "-p",
                &program.port(),
                "-V",
                version,
                "-d",
                "-W",
                "30",
            ])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        Subscriber { child, lines: BufReader::new(stdout) }
    }

    /// The next line that contains `text`.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            assert!(count > 0, "mosquitto_sub ended without {text:?}");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The next message, as `-F` formats it (all formats begin with `message: `).
    fn message(&mut self) -> String {
        self.wait_for("message: ").split_once("message: ").unwrap().1.to_owned()
    }
}

impl Subscriber {
    /// Waits until it has ended by itself.
    fn ended(mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FORMAT: [&str; 2] = ["-F", "message: %t %q %r %p"];

#[test]
fn messages_arrive_at_every_quality_of_service() {
    if !installed() {
        return;
    }
    let program = Program::start("");
    for version in VERSIONS {
        for (published, subscribed, granted) in
            [("0", "2", "0"), ("1", "2", "1"), ("2", "2", "2"), ("2", "1", "1")]
        {
            let mut subscriber =
                Subscriber::start(&program, version, &["-t", "a/+", "-q", subscribed, FORMAT[0], FORMAT[1]]);
            publish(&program, version, &["-t", "a/b", "-m", "hello", "-q", published]);
            assert_eq!(subscriber.message(), format!("a/b {granted} 0 hello"), "{version}");
        }
    }
}

#[test]
fn a_retained_message_greets_a_new_subscriber_until_it_is_cleared() {
    if !installed() {
        return;
    }
    let program = Program::start("");
    for version in VERSIONS {
        publish(&program, version, &["-t", "r/1", "-m", "first", "-r", "-q", "1"]);
        publish(&program, version, &["-t", "r/1", "-m", "second", "-r", "-q", "1"]);
        let mut subscriber =
            Subscriber::start(&program, version, &["-t", "r/#", "-q", "1", FORMAT[0], FORMAT[1]]);
        assert_eq!(subscriber.message(), "r/1 1 1 second", "{version}");
        publish(&program, version, &["-t", "r/1", "-n", "-r", "-q", "1"]);
        drop(subscriber);
        let mut subscriber =
            Subscriber::start(&program, version, &["-t", "r/#", "-q", "1", FORMAT[0], FORMAT[1]]);
        publish(&program, version, &["-t", "r/2", "-m", "live", "-q", "1"]);
        assert_eq!(subscriber.message(), "r/2 1 0 live", "{version}: nothing is retained any more");
    }
}

#[test]
fn the_will_is_published_when_a_client_dies_and_not_when_it_says_goodbye() {
    if !installed() {
        return;
    }
    let program = Program::start("");
    for version in VERSIONS {
        let mut watcher =
            Subscriber::start(&program, version, &["-t", "w/#", "-q", "1", FORMAT[0], FORMAT[1]]);
        let will = |payload: &'static str| {
            ["-t", "unused", "--will-topic", "w/will", "--will-payload", payload, "--will-qos", "1"]
        };
        let mut dying = Subscriber::start(&program, version, &will("died"));
        dying.child.kill().unwrap();
        assert_eq!(watcher.message(), "w/will 1 0 died", "{version}");

        // `-E` leaves with DISCONNECT once it is subscribed.
        let mut arguments = will("still died").to_vec();
        arguments.push("-E");
        Subscriber::start(&program, version, &arguments).ended();
        publish(&program, version, &["-t", "w/next", "-m", "next", "-q", "1"]);
        assert_eq!(watcher.message(), "w/next 1 0 next", "{version}: no will after DISCONNECT");
    }
}

#[test]
fn a_persistent_session_gets_what_it_missed_also_across_kill_9() {
    if !installed() {
        return;
    }
    for version in VERSIONS {
        let mut program = Program::start("");
        let mut session = vec!["-i", "keeper", "-c", "-t", "p/#", "-q", "2"];
        if version == "mqttv5" {
            session.extend(["-x", "3600"]);
        }
        let mut leaving = session.clone();
        leaving.push("-E");
        Subscriber::start(&program, version, &leaving).ended();
        for number in 0..20 {
            let qos = if number % 2 == 0 { "1" } else { "2" };
            publish(&program, version, &["-t", "p/x", "-m", &number.to_string(), "-q", qos]);
        }
        program = program.kill_and_start_again();
        for number in 20..25 {
            publish(&program, version, &["-t", "p/x", "-m", &number.to_string(), "-q", "1"]);
        }
        session.extend(FORMAT);
        let mut back = Subscriber::come_back(&program, version, &session);
        // The client shows a QoS 2 message at its PUBREL: order counts within one QoS [MQTT-4.6.0-6].
        let messages: Vec<String> = (0..25).map(|_| back.message()).collect();
        let of = |qos: &str| -> Vec<String> {
            let prefix = format!("p/x {qos} 0 ");
            messages.iter().filter_map(|message| message.strip_prefix(&prefix)).map(str::to_owned).collect()
        };
        let numbers = |chosen: fn(&i32) -> bool| -> Vec<String> {
            (0..25).filter(chosen).map(|number| number.to_string()).collect()
        };
        assert_eq!(of("1"), numbers(|number| *number >= 20 || number % 2 == 0), "{version}");
        assert_eq!(of("2"), numbers(|number| *number < 20 && number % 2 == 1), "{version}");
    }
}

#[test]
fn a_second_connection_takes_over_from_the_first() {
    if !installed() {
        return;
    }
    let program = Program::start("");
    for version in VERSIONS {
        let mut first = Subscriber::start(&program, version, &["-i", "twin", "-t", "t/#"]);
        let mut second =
            Subscriber::start(&program, version, &["-i", "twin", "-t", "t/#", FORMAT[0], FORMAT[1]]);
        // mosquitto_sub ends when the server closes its connection for good reasons (5.0), or connects anew (3.1.1):
        // then it would take over in turn, and so it is stopped.
        first.child.kill().unwrap();
        if version == "mqttv5" {
            publish(&program, version, &["-t", "t/1", "-m", "who", "-q", "1"]);
            assert_eq!(second.message(), "t/1 0 0 who");
        }
    }
}
