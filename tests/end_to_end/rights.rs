//! Users, passwords and access rules, as clients that we did not write meet them; and what a reload changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{PATIENCE, Program};
use crate::skip;

const RULES: &str = "
[broker]
password_file = 'users'
allow_anonymous = false

[[acl]]
user = 'dashboard'
allow = 'subscribe'
topic = 'site/#'

[[acl]]
anonymous = false
deny = 'both'
topic = 'site/secret/#'

[[acl]]
anonymous = false
allow = 'both'
topic = 'site/%u/#'
";

/// Makes or changes a user, as an administrator does.
fn passwd(folder: &Path, user: &str, password: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["passwd", "--file", "users", user])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn folder_with(users: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (user, password) in users {
        passwd(folder.path(), user, password);
    }
    folder
}

/// A client of 5.0 on a socket of its own.
struct Client(TcpStream);

impl Client {
    /// Connects, and the reason of CONNACK.
    fn connect(program: &Program, client_id: &str, login: Option<(&str, &str)>) -> (Client, u8) {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0];
        let put = |body: &mut Vec<u8>, text: &str| {
            body.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        };
        put(&mut body, client_id);
        if let Some((user, password)) = login {
            body[7] |= 0b1100_0000;
            put(&mut body, user);
            put(&mut body, password);
        }
        let stream = TcpStream::connect(program.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client(stream);
        let answer = client.ask(0x10, &body);
        assert_eq!(answer[0], 0x20);
        let reason = answer[2];
        (client, reason)
    }

    fn join(program: &Program, client_id: &str, login: (&str, &str)) -> Client {
        let (client, reason) = Client::connect(program, client_id, Some(login));
        assert_eq!(reason, 0);
        client
    }

    /// Sends a packet and reads the next one.
    fn ask(&mut self, first: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, u8::try_from(body.len()).unwrap()];
        packet.extend_from_slice(body);
        self.0.write_all(&packet).unwrap();
        self.next().expect("it was closed")
    }

    /// The next packet: its first byte, then its body.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let mut packet = vec![head[0], head[1]];
        packet.resize(2 + usize::from(head[1]), 0);
        self.0.read_exact(&mut packet[2..]).unwrap();
        packet.remove(1);
        Some(packet)
    }

    fn subscribe(&mut self, filter: &str) -> u8 {
        let mut body = vec![0, 1, 0, 0, u8::try_from(filter.len()).unwrap()];
        body.extend_from_slice(filter.as_bytes());
        body.push(1);
        *self.ask(0x82, &body).last().unwrap()
    }

    /// Publishes at QoS 1; the reason of PUBACK.
    fn publish(&mut self, topic: &str) -> u8 {
        let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&[0, 7, 0, b'!']);
        let answer = self.ask(0x32, &body);
        assert_eq!(answer[..3], [0x40, 0, 7]);
        answer.get(3).copied().unwrap_or(0)
    }

    fn is_served(&mut self) {
        assert_eq!(self.ask(0xC0, &[])[0], 0xD0);
    }
}

fn is_allowed(reason: u8) -> bool {
    reason < 0x80
}

/// The codes of 5.0 for everything that can be refused.
#[test]
fn who_may_do_what_by_the_codes() {
    let folder = folder_with(&[("anna", "a secret"), ("dashboard", "another")]);
    let program = Program::start_in(folder, RULES, &[]);
    for (login, reason) in [
        (None, 0x87),
        (Some(("anna", "wrong")), 0x86),
        (Some(("nobody", "a secret")), 0x86),
        (Some(("anna", "another")), 0x86),
    ] {
        assert_eq!(Client::connect(&program, "x", login).1, reason, "{login:?}");
    }
    let mut dashboard = Client::join(&program, "d", ("dashboard", "another"));
    let mut anna = Client::join(&program, "a", ("anna", "a secret"));
    for (filter, allowed) in [("site/#", true), ("other/#", false), ("#", true), ("site", true)] {
        assert_eq!(is_allowed(dashboard.subscribe(filter)), allowed, "{filter}");
    }
    assert_eq!(dashboard.publish("site/anna/x"), 0x87);
    for (topic, allowed) in
        [("site/anna/x", true), ("site/dashboard/x", false), ("site/secret/x", false), ("other", false)]
    {
        assert_eq!(is_allowed(anna.publish(topic)), allowed, "{topic}");
    }
    let message = dashboard.next().unwrap();
    assert!(String::from_utf8_lossy(&message).contains("site/anna/x"), "{message:?}");
}

/// SIGHUP: an account that is gone ends its connection with 0x87, a changed password with 0x98, changed rules hold at
/// once, and whoever is not concerned stays connected.
#[test]
fn a_reload_changes_users_and_rules_and_spares_the_others() {
    let folder = folder_with(&[("anna", "1"), ("bert", "2"), ("cleo", "3")]);
    let program = Program::start_in(folder, RULES, &[]);
    let mut anna = Client::join(&program, "a", ("anna", "1"));
    let mut bert = Client::join(&program, "b", ("bert", "2"));
    let mut cleo = Client::join(&program, "c", ("cleo", "3"));
    assert!(!is_allowed(cleo.publish("site/new")));
    let users = program.folder().join("users");
    let removed = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["passwd", "--file", users.to_str().unwrap(), "--delete", "anna"])
        .output()
        .unwrap();
    assert!(removed.status.success());
    passwd(program.folder(), "bert", "new");
    program.reconfigure(&format!("{RULES}\n[[acl]]\nuser = 'cleo'\nallow = 'publish'\ntopic = 'site/new'\n"));
    program.signal(Signal::HUP);
    assert_eq!(anna.next().unwrap()[..2], [0xE0, 0x87]);
    assert_eq!(bert.next().unwrap()[..2], [0xE0, 0x98]);
    assert!(anna.next().is_none() && bert.next().is_none());
    program.wait_for_line("2 clients");
    cleo.is_served();
    assert!(is_allowed(cleo.publish("site/new")));
    assert_eq!(Client::connect(&program, "a", Some(("anna", "1"))).1, 0x86);
    assert_eq!(Client::connect(&program, "b", Some(("bert", "2"))).1, 0x86);
    assert_eq!(Client::connect(&program, "b", Some(("bert", "new"))).1, 0);
    // Nobody is let in, and nobody thrown out, by a file that cannot be read.
    std::fs::write(&users, "nonsense").unwrap();
    program.signal(Signal::HUP);
    program.wait_for_line("the configuration stays as it is");
    cleo.is_served();
    assert_eq!(Client::connect(&program, "x", None).1, 0x87);
}

/// A gateway whose password file is missing does not start open.
#[test]
fn without_its_password_file_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("tidegate.toml");
    std::fs::write(&configuration, format!("[gateway]\ndata_dir = 'data'\n{RULES}")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "--config"])
        .arg(&configuration)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no password file"));
}

/// The broker's figures are there for who may have them; a rule for `#` is not about them.
#[test]
fn figures_are_for_who_may_have_them() {
    let rules = "
[[acl]]
client = 'watcher'
allow = 'subscribe'
topic = '$SYS/#'

[[acl]]
allow = 'both'
topic = '#'
";
    for (rules, client_id, allowed) in [("", "any", true), (rules, "watcher", true), (rules, "any", false)] {
        let program = Program::start(rules);
        let (mut client, _) = Client::connect(&program, client_id, None);
        assert_eq!(is_allowed(client.subscribe("$SYS/broker/version")), allowed, "{client_id}");
        if allowed {
            let message = client.next().unwrap();
            assert!(String::from_utf8_lossy(&message).contains("tidegate "), "{message:?}");
        }
        client.is_served();
        assert_eq!(client.publish("$SYS/broker/version"), 0x87);
    }
}

fn mosquitto(command: &str, program: &Program, arguments: &[&str]) -> Output {
    Command::new(command).args(["-h", "127.0.0.1", "-p", &program.port()]).args(arguments).output().unwrap()
}

/// mosquitto's clients, 3.1.1 and 5: a login, a refusal, and a wide subscription that gets what is allowed of it.
#[test]
fn mosquitto_clients_log_in_and_get_what_they_may() {
    if Command::new("mosquitto_sub").arg("--help").stdout(Stdio::null()).status().is_err() {
        return skip("mosquitto_pub and mosquitto_sub are not installed");
    }
    let folder = folder_with(&[("anna", "a secret"), ("dashboard", "another")]);
    let program = Program::start_in(folder, RULES, &[]);
    for version in ["mqttv311", "mqttv5"] {
        let anna = ["-V", version, "-u", "anna", "-P", "a secret", "-q", "1", "-r"];
        for topic in ["site/anna/state", "site/secret/state"] {
            mosquitto("mosquitto_pub", &program, &[&anna[..], &["-t", topic, "-m", "kept"]].concat());
        }
        let wrong = ["-V", version, "-u", "anna", "-P", "wrong", "-t", "x", "-m", "x"];
        assert!(!mosquitto("mosquitto_pub", &program, &wrong).status.success());
        let wide = ["-V", version, "-u", "dashboard", "-P", "another", "-t", "#", "-v", "-W", "2"];
        let got = mosquitto("mosquitto_sub", &program, &wide);
        assert_eq!(String::from_utf8_lossy(&got.stdout), "site/anna/state kept\n", "{version}");
        let refused = ["-V", version, "-u", "dashboard", "-P", "another", "-t", "other/#", "-W", "2"];
        let said = mosquitto("mosquitto_sub", &program, &refused);
        assert!(String::from_utf8_lossy(&said.stderr).contains("denied"), "{said:?}");
    }
}
