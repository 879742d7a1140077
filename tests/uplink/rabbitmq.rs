//! Three nodes of Debian's RabbitMQ with its MQTT plugin, one cluster on loopback, with a port mapper, a cookie and a
//! folder of its own. Queues of sessions are quorum queues: each is kept by all nodes.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use crate::mosquitto::skip;
use crate::process::Process;
use crate::rig::free_port;

const SERVER: &str = "/usr/sbin/rabbitmq-server";
/// An Erlang machine on a small computer takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
pub const NODES: usize = 3;

pub struct Cluster {
    nodes: Vec<Option<Process>>,
    /// Of MQTT, node by node.
    pub ports: Vec<u16>,
    epmd_port: u16,
    programs: PathBuf,
    folder: tempfile::TempDir,
    // Dropped after the nodes, which need it.
    _epmd: Process,
}

impl Cluster {
    /// A running cluster; `None`, and the skip counted, where RabbitMQ is not installed.
    pub fn start(test: &str) -> Option<Cluster> {
        let Some(programs) = programs() else {
            skip(&format!("{test}: rabbitmq-server (Debian) is not installed"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let cookie = folder.path().join(".erlang.cookie");
        fs::write(&cookie, "tidegate").unwrap();
        restrict(&cookie);
        fs::write(folder.path().join("enabled_plugins"), "[rabbitmq_mqtt].\n").unwrap();
        let advanced = "[{rabbitmq_mqtt, [{durable_queue_type, quorum}]}].\n";
        fs::write(folder.path().join("advanced.config"), advanced).unwrap();
        let epmd_port = free_port();
        let port = epmd_port.to_string();
        let epmd = Process::start("epmd", &["epmd", "-address", "127.0.0.1", "-port", &port], folder.path());
        let ports = (0..NODES).map(|_| free_port()).collect();
        let nodes = (0..NODES).map(|_| None).collect();
        let mut cluster = Cluster { nodes, ports, epmd_port, programs, folder, _epmd: epmd };
        for number in 0..NODES {
            cluster.nodes[number] = Some(cluster.node(number));
        }
        for port in &cluster.ports {
            cluster.wait_for(*port);
        }
        cluster.wait_for_all();
        Some(cluster)
    }

    /// The power of one node fails.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].take().expect("it runs").kill();
    }

    /// It comes back, with what was on its disk.
    pub fn start_again(&mut self, number: usize) {
        self.nodes[number] = Some(self.node(number));
        self.wait_for(self.ports[number]);
    }

    fn node(&self, number: usize) -> Process {
        let mut configuration = format!(
            "listeners.tcp.default = 127.0.0.1:{}\nmqtt.listeners.tcp.default = 127.0.0.1:{}\n\
             mqtt.allow_anonymous = true\ncluster_formation.peer_discovery_backend = classic_config\n",
            free_port(),
            self.ports[number],
        );
        for number in 0..NODES {
            configuration +=
                &format!("cluster_formation.classic_config.nodes.{} = {}\n", number + 1, name(number));
        }
        let folder = self.folder.path();
        fs::write(folder.join(format!("{number}.conf")), configuration).unwrap();
        let mut command = vec!["env".to_owned()];
        command.extend(self.environment(number).into_iter().map(|(key, value)| format!("{key}={value}")));
        command.push(self.programs.join("rabbitmq-server").display().to_string());
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        Process::start(&format!("rabbit{number}"), &command, folder)
    }

    fn environment(&self, number: usize) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            ("HOME", self.folder.path().display().to_string()),
            ("ERL_EPMD_PORT", self.epmd_port.to_string()),
            ("RABBITMQ_NODENAME", name(number)),
            ("RABBITMQ_DIST_PORT", free_port().to_string()),
            ("RABBITMQ_MNESIA_BASE", at(&format!("data{number}"))),
            ("RABBITMQ_LOG_BASE", at(&format!("log{number}"))),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_CONFIG_FILE", at(&number.to_string())),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            // Without a shell in between, so that a signal meets the node itself.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ]
    }

    fn wait_for(&self, port: u16) {
        let start = std::time::Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "a node of RabbitMQ does not listen:\n{}", self.said());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Until each node knows the others.
    fn wait_for_all(&self) {
        let arguments = ["await_online_nodes", &NODES.to_string(), "--timeout", "60"];
        let output = Command::new(self.programs.join("rabbitmqctl"))
            .args(["-n", &name(0)])
            .args(arguments)
            .envs(self.environment(0))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "no cluster of three: {words}\n{}", self.said());
    }

    fn said(&self) -> String {
        self.nodes.iter().flatten().map(Process::output).collect()
    }
}

fn name(number: usize) -> String {
    format!("tidegate{number}@localhost")
}

fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap();
}

/// The program that Debian's wrapper calls, which wants no user of its own.
fn programs() -> Option<PathBuf> {
    if !Path::new(SERVER).exists() || !Path::new("/usr/bin/epmd").exists() {
        return None;
    }
    let versions = fs::read_dir("/usr/lib/rabbitmq/lib").ok()?;
    let programs = versions.flatten().map(|version| version.path().join("sbin"));
    programs.into_iter().find(|folder| folder.join("rabbitmq-server").exists())
}
