//! The MQTT client of the commands: rumqttc, 3.1.1 and 5.0 behind one face.
//!
//! A client that we did not write, so that it also tests the broker. Never used by the gateway itself.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5 as packets5;
use rumqttc::{Transport, mqttbytes::v4 as packets4, v5};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::tunnel::Tunnel;
use crate::config::Secret;
use crate::limits::PACKET_BYTES_MAX;
use crate::mqtt::QoS;
use crate::stream::{ClientTls, Proxy, Route, Scheme, Url};

/// Messages handed over and not yet sent.
const CHANNEL_REQUESTS: usize = 64;
/// How long until a lost connection is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// Packets open at once; fewer than servers usually allow.
const IN_FLIGHT: u16 = 100;

/// Where to connect, and as whom.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectionArguments {
    /// The server, as in mqtt://localhost:1883, mqtts://broker.example.com, wss://broker.example.com/mqtt
    #[arg(long, conflicts_with_all = ["host", "port"])]
    url: Option<String>,
    /// The server's name or address
    #[arg(short = 'H', long, default_value = "localhost")]
    host: String,
    /// The server's port [default: 1883, with TLS 8883]
    #[arg(short, long)]
    port: Option<u16>,
    /// The MQTT version to speak
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5", value_parser = ["5", "3.1.1"])]
    mqtt_version: String,
    /// The client identifier; otherwise one of its own
    #[arg(short = 'i', long, value_name = "ID")]
    client_id: Option<String>,
    /// The user to log in as; asks for the password on a terminal unless it is given
    #[arg(short, long)]
    user: Option<String>,
    /// The file whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "password_env")]
    password_file: Option<PathBuf>,
    /// The environment variable with the password
    #[arg(long, value_name = "NAME", requires = "user")]
    password_env: Option<String>,
    /// Encrypts the connection, for -H and -p; port 8883 unless -p says otherwise
    #[arg(long)]
    tls: bool,
    /// The file with the authorities that may have signed the server's certificate, PEM; else the system's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The file with our certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The file with its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name that the server's certificate must have, if it is not that of the URL
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// A protocol to offer by ALPN; may be repeated
    #[arg(long, value_name = "NAME")]
    tls_alpn: Vec<String>,
    /// A web proxy on the way, as in http://proxy.example.com:3128
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..))]
    keep_alive: u16,
}

impl ConnectionArguments {
    /// How to connect; asks for the password where it must.
    pub(super) fn target(&self) -> anyhow::Result<Target> {
        let url = self.server()?;
        let tls = ClientTls {
            ca: self.tls_ca.clone(),
            identity: self.tls_cert.clone().zip(self.tls_key.clone()),
            alpn: self.tls_alpn.clone(),
            server_name: self.tls_server_name.clone(),
        };
        ensure!(
            tls == ClientTls::default() || url.scheme.is_tls(),
            "{url} is not encrypted: --tls, or mqtts://"
        );
        let proxy = self.proxy.as_deref().map(Proxy::parse).transpose();
        let proxy = proxy.map_err(anyhow::Error::msg).context("--proxy")?;
        let login = match &self.user {
            Some(user) => Some((user.clone(), self.password()?)),
            None => None,
        };
        let own_id = || format!("tidegate-{}-{}", std::process::id(), url.port);
        Ok(Target {
            version_5: self.mqtt_version == "5",
            client_id: self.client_id.clone().unwrap_or_else(own_id),
            url,
            route: Route { proxy, tls, ..Route::default() },
            login,
            keep_alive: Duration::from_secs(u64::from(self.keep_alive)),
            session_expiry_seconds: 0,
        })
    }

    fn server(&self) -> anyhow::Result<Url> {
        if let Some(url) = &self.url {
            return Url::parse(url).map_err(anyhow::Error::msg).context("--url");
        }
        let (scheme, usual_port) = if self.tls { (Scheme::Mqtts, 8883) } else { (Scheme::Mqtt, 1883) };
        let port = self.port.unwrap_or(usual_port);
        Ok(Url { scheme, host: self.host.clone(), port, path: String::new() })
    }

    fn password(&self) -> anyhow::Result<String> {
        if let Some(path) = &self.password_file {
            return Ok(Secret::File(path.clone()).reveal()?);
        }
        if let Some(name) = &self.password_env {
            return Ok(Secret::Environment(name.clone()).reveal()?);
        }
        ensure!(
            std::io::stdin().is_terminal(),
            "no terminal to ask for the password: --password-file or --password-env"
        );
        super::terminal::ask_secret("Password: ")
    }
}

/// A server, and who we are there.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) route: Route,
    pub(super) version_5: bool,
    pub(super) client_id: String,
    pub(super) login: Option<(String, String)>,
    pub(super) keep_alive: Duration,
    /// 0: a clean session.
    pub(super) session_expiry_seconds: u32,
}

/// A message that came.
pub(super) struct Arrival {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) duplicate: bool,
}

/// What happened on the connection.
pub(super) enum Happened {
    /// The server took us.
    Connected { session_present: bool },
    /// A message came; it is acknowledged by itself.
    Arrived(Arrival),
    /// A message was written.
    Sent,
    /// The server answered a message of ours.
    Acknowledged(Result<(), String>),
    /// The server answered a subscription, filter by filter.
    Subscribed(Vec<Result<(), String>>),
    /// DISCONNECT was written.
    Disconnected,
    /// Pings and the like.
    Nothing,
}

/// A connection, made anew whenever it is lost, until this is dropped. Driven by a task of its own: rumqttc must not
/// be interrupted while it writes.
pub(super) struct Link {
    client: Client,
    happenings: mpsc::Receiver<anyhow::Result<Happened>>,
    task: JoinHandle<()>,
    _tunnel: Option<Tunnel>,
}

/// Gives messages to a [`Link`].
#[derive(Clone)]
pub(super) enum Client {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

enum Events {
    V4(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

impl Link {
    /// Starts to connect.
    ///
    /// # Errors
    /// When there is no room for the socket through which TLS and the like are reached.
    pub(super) fn start(target: &Target) -> anyhow::Result<Link> {
        let direct = target.url.scheme == Scheme::Mqtt && target.route.proxy.is_none();
        let tunnel = match direct {
            true => None,
            false => Some(Tunnel::open(target.url.clone(), target.route.clone())?),
        };
        let address = match &tunnel {
            None => Address::Tcp(target.url.host.clone(), target.url.port),
            Some(tunnel) => Address::Unix(tunnel.path()),
        };
        let (client, mut events) =
            if target.version_5 { connect_5(target, address) } else { connect_4(target, address) };
        let server = target.url.to_string();
        let failure = tunnel.as_ref().map(Tunnel::failure).unwrap_or_default();
        let (sender, happenings) = mpsc::channel(CHANNEL_REQUESTS);
        let task = tokio::spawn(async move {
            loop {
                let mut happened = events.next().await;
                if happened.is_err()
                    && let Some(words) = failure.lock().unwrap_or_else(PoisonError::into_inner).take()
                {
                    happened = Err(anyhow::anyhow!(words));
                }
                let happened = happened.with_context(|| server.clone());
                let failed = happened.is_err();
                if sender.send(happened).await.is_err() {
                    return;
                }
                if failed {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Ok(Link { client, happenings, task, _tunnel: tunnel })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits for what happens next; after an error, it connects again. May be interrupted.
    pub(super) async fn next(&mut self) -> anyhow::Result<Happened> {
        match self.happenings.recv().await {
            Some(happened) => happened,
            None => bail!("the connection's task has ended"),
        }
    }

    /// Says DISCONNECT, after everything that was handed over before.
    pub(super) async fn disconnect(&mut self) -> anyhow::Result<()> {
        self.client.disconnect().await?;
        while !matches!(self.next().await?, Happened::Disconnected) {}
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Events {
    async fn next(&mut self) -> anyhow::Result<Happened> {
        match self {
            Events::V4(events) => happened_4(events.poll().await),
            Events::V5(events) => happened_5(events.poll().await),
        }
    }
}

impl Client {
    pub(super) async fn publish(
        &self,
        topic: &str,
        qos: QoS,
        retain: bool,
        payload: Bytes,
    ) -> anyhow::Result<()> {
        match self {
            Client::V4(client) => client.publish_bytes(topic, qos_4(qos), retain, payload).await?,
            Client::V5(client) => client.publish_bytes(topic, qos_5(qos), retain, payload).await?,
        }
        Ok(())
    }

    pub(super) async fn subscribe(&self, filters: &[String], qos: QoS) -> anyhow::Result<()> {
        match self {
            Client::V4(client) => {
                let filters =
                    filters.iter().map(|filter| packets4::SubscribeFilter::new(filter.clone(), qos_4(qos)));
                client.subscribe_many(filters).await?;
            }
            Client::V5(client) => {
                let filters = filters.iter().map(|filter| packets5::Filter::new(filter.clone(), qos_5(qos)));
                client.subscribe_many(filters).await?;
            }
        }
        Ok(())
    }

    async fn disconnect(&self) -> anyhow::Result<()> {
        match self {
            Client::V4(client) => client.disconnect().await?,
            Client::V5(client) => client.disconnect().await?,
        }
        Ok(())
    }
}

/// Where rumqttc connects to.
enum Address {
    Tcp(String, u16),
    Unix(String),
}

impl Address {
    fn parts(self) -> (String, u16, Transport) {
        match self {
            Address::Tcp(host, port) => (host, port, Transport::Tcp),
            Address::Unix(path) => (path, 0, Transport::Unix),
        }
    }
}

fn connect_4(target: &Target, address: Address) -> (Client, Events) {
    let (host, port, transport) = address.parts();
    let mut options = rumqttc::MqttOptions::new(&target.client_id, host, port);
    options.set_transport(transport);
    options.set_keep_alive(target.keep_alive);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    options.set_inflight(IN_FLIGHT);
    options.set_clean_session(target.session_expiry_seconds == 0);
    if let Some((user, password)) = &target.login {
        options.set_credentials(user, password);
    }
    let (client, events) = rumqttc::AsyncClient::new(options, CHANNEL_REQUESTS);
    (Client::V4(client), Events::V4(Box::new(events)))
}

fn connect_5(target: &Target, address: Address) -> (Client, Events) {
    let (host, port, transport) = address.parts();
    let mut options = v5::MqttOptions::new(&target.client_id, host, port);
    options.set_transport(transport);
    options.set_keep_alive(target.keep_alive);
    options.set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok());
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    options.set_clean_start(target.session_expiry_seconds == 0);
    options.set_session_expiry_interval(Some(target.session_expiry_seconds));
    if let Some((user, password)) = &target.login {
        options.set_credentials(user, password);
    }
    let (client, events) = v5::AsyncClient::new(options, CHANNEL_REQUESTS);
    (Client::V5(client), Events::V5(Box::new(events)))
}

fn happened_4(event: Result<rumqttc::Event, rumqttc::ConnectionError>) -> anyhow::Result<Happened> {
    use rumqttc::{ConnectionError, Event, Outgoing, Packet};
    Ok(match event {
        Err(ConnectionError::ConnectionRefused(code)) => bail!("the server refused: {code:?}"),
        Err(error) => bail!("{}", without_prefix(&error.to_string())),
        Ok(Event::Incoming(Packet::ConnAck(answer))) => {
            Happened::Connected { session_present: answer.session_present }
        }
        Ok(Event::Incoming(Packet::Publish(publish))) => Happened::Arrived(Arrival {
            topic: publish.topic,
            payload: publish.payload,
            qos: match publish.qos {
                rumqttc::QoS::AtMostOnce => 0,
                rumqttc::QoS::AtLeastOnce => 1,
                rumqttc::QoS::ExactlyOnce => 2,
            },
            retain: publish.retain,
            duplicate: publish.dup,
        }),
        Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => Happened::Acknowledged(Ok(())),
        Ok(Event::Incoming(Packet::SubAck(answer))) => Happened::Subscribed(
            answer
                .return_codes
                .iter()
                .map(|code| match code {
                    packets4::SubscribeReasonCode::Success(_) => Ok(()),
                    packets4::SubscribeReasonCode::Failure => Err("refused".to_owned()),
                })
                .collect(),
        ),
        Ok(Event::Outgoing(Outgoing::Publish(_))) => Happened::Sent,
        Ok(Event::Outgoing(Outgoing::Disconnect)) => Happened::Disconnected,
        Ok(_) => Happened::Nothing,
    })
}

fn happened_5(event: Result<v5::Event, v5::ConnectionError>) -> anyhow::Result<Happened> {
    use rumqttc::Outgoing;
    use v5::{ConnectionError, Event, mqttbytes::v5::Packet};
    let answered =
        |fine: bool, reason: String| Happened::Acknowledged(if fine { Ok(()) } else { Err(reason) });
    Ok(match event {
        Err(ConnectionError::ConnectionRefused(code)) => bail!("the server refused: {code:?}"),
        Err(error) => bail!("{}", without_prefix(&error.to_string())),
        Ok(Event::Incoming(Packet::ConnAck(answer))) => {
            Happened::Connected { session_present: answer.session_present }
        }
        Ok(Event::Incoming(Packet::Publish(publish))) => Happened::Arrived(Arrival {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            qos: match publish.qos {
                v5::mqttbytes::QoS::AtMostOnce => 0,
                v5::mqttbytes::QoS::AtLeastOnce => 1,
                v5::mqttbytes::QoS::ExactlyOnce => 2,
            },
            retain: publish.retain,
            duplicate: publish.dup,
        }),
        Ok(Event::Incoming(Packet::PubAck(answer))) => {
            use packets5::PubAckReason::{NoMatchingSubscribers, Success};
            answered(matches!(answer.reason, Success | NoMatchingSubscribers), format!("{:?}", answer.reason))
        }
        Ok(Event::Incoming(Packet::PubRec(answer))) => {
            use packets5::PubRecReason::{NoMatchingSubscribers, Success};
            match answer.reason {
                Success | NoMatchingSubscribers => Happened::Nothing,
                reason => Happened::Acknowledged(Err(format!("{reason:?}"))),
            }
        }
        Ok(Event::Incoming(Packet::PubComp(_))) => Happened::Acknowledged(Ok(())),
        Ok(Event::Incoming(Packet::SubAck(answer))) => Happened::Subscribed(
            answer
                .return_codes
                .iter()
                .map(|code| match code {
                    packets5::SubscribeReasonCode::Success(_) => Ok(()),
                    refused => Err(format!("{refused:?}")),
                })
                .collect(),
        ),
        Ok(Event::Outgoing(Outgoing::Publish(_))) => Happened::Sent,
        Ok(Event::Outgoing(Outgoing::Disconnect)) => Happened::Disconnected,
        Ok(_) => Happened::Nothing,
    })
}

/// rumqttc says which of its parts met an error; a user asks what the error is.
fn without_prefix(message: &str) -> &str {
    message.trim_start_matches("I/O: ").trim_start_matches("Mqtt state: ")
}

const fn qos_4(qos: QoS) -> rumqttc::QoS {
    match qos {
        QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
        QoS::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        QoS::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
    }
}

const fn qos_5(qos: QoS) -> v5::mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => v5::mqttbytes::QoS::ExactlyOnce,
    }
}

/// Reads `--qos`.
pub(super) fn parse_qos(text: &str) -> Result<QoS, String> {
    text.parse().ok().and_then(QoS::from_u8).ok_or_else(|| "0, 1 or 2".to_owned())
}
