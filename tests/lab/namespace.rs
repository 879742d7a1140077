//! A network namespace for the cloud, behind a real link that can become a black hole.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// A namespace of its own with a link to here; gone when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The last byte but one of its network: 198.18.x.0/29, which is set aside for tests (RFC 2544).
    net: u8,
}

impl Namespace {
    pub fn new() -> Namespace {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        remove_those_of_the_dead();
        let process = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let net = u8::try_from(process % 200).unwrap().wrapping_add(number);
        let namespace = Namespace { name: format!("tidegate-{process}-{number}"), net };
        let name = &namespace.name;
        let here = format!("tg{process}x{number}");
        run(&["ip", "netns", "add", name]);
        run(&["ip", "link", "add", &here, "type", "veth", "peer", "name", "eth0", "netns", name]);
        run(&["ip", "addr", "add", &format!("198.18.{net}.1/29"), "dev", &here]);
        run(&["ip", "link", "set", &here, "up"]);
        for last in [2, 3] {
            run(&["ip", "-n", name, "addr", "add", &format!("198.18.{net}.{last}/29"), "dev", "eth0"]);
        }
        run(&["ip", "-n", name, "link", "set", "lo", "up"]);
        run(&["ip", "-n", name, "link", "set", "eth0", "up"]);
        namespace
    }

    /// Where the gateway finds the cloud: what becomes a black hole.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.net, 2)
    }

    /// Where the observer finds it, always.
    pub fn observed_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.net, 3)
    }

    /// A command that runs inside.
    pub fn inside<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [&["ip", "netns", "exec", &self.name], command].concat()
    }

    /// Packets to and from the cloud vanish without a word.
    pub fn swallow(&self) {
        self.rules("-A");
    }

    /// They pass again.
    pub fn pass(&self) {
        self.rules("-D");
    }

    fn rules(&self, change: &str) {
        let address = self.address().to_string();
        run(&self.inside(&["iptables", "-w", change, "INPUT", "-d", &address, "-j", "DROP"]));
        run(&self.inside(&["iptables", "-w", change, "OUTPUT", "-s", &address, "-j", "DROP"]));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Namespaces of test runs that were killed before they could clean up.
fn remove_those_of_the_dead() {
    let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let owner = name.strip_prefix("tidegate-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !std::path::Path::new("/proc").join(owner).exists()) {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", command.join(" "));
}
