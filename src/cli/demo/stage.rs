//! Everything that takes part in the demo, set up, played and taken down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::Script;
use super::cloud::Cloud;
use super::screen::{self, Latest};
use super::tally::{Score, Tally};
use crate::adapter::simulated::{Kind, Simulated};
use crate::cli::mqtt::{Happened, Link, Target};
use crate::cli::terminal::say;
use crate::clock::Clock;
use crate::config::{self, Overrides};
use crate::gateway::Gateway;
use crate::mqtt::QoS;
use crate::stream::{Route, Scheme, Url};

/// The sensors of `config/demo.toml`, and how often they speak; the polled one when it is asked.
const SENSORS: [(&str, Kind, Duration); 5] = [
    ("air", Kind::Sds011, Duration::from_millis(250)),
    ("co2", Kind::MhZ19, Duration::from_millis(500)),
    ("weather", Kind::JsonLines, Duration::from_millis(100)),
    ("meter", Kind::DsmrP1, Duration::from_millis(1000)),
    ("battery", Kind::VeDirect, Duration::from_millis(1000)),
];
const CONFIGURATION: &str = include_str!("../../../config/demo.toml");
/// How long each part may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);
/// When nothing has arrived for so long and nothing is kept, nothing will come any more.
const QUIET: Duration = Duration::from_secs(3);
/// When nothing has arrived for so long, whatever is kept does not come.
const STUCK: Duration = Duration::from_secs(120);

/// Who takes part; each is there from its entry until [`Stage::clear`].
pub(super) struct Stage {
    folder: PathBuf,
    clock: Clock,
    cloud: Option<Cloud>,
    sensors: Vec<(&'static str, Simulated)>,
    gateway: Option<Gateway>,
}

/// The client at the cloud, and the one at the gateway's own broker.
struct Audience {
    at_the_cloud: Link,
    at_the_gateway: Link,
    tally: Tally,
    latest: Latest,
    last_arrival: Instant,
}

impl Stage {
    pub(super) fn new(folder: &Path) -> Stage {
        Stage {
            folder: folder.to_owned(),
            clock: Clock::system(),
            cloud: None,
            sensors: Vec::new(),
            gateway: None,
        }
    }

    /// Plays the script to its end.
    pub(super) async fn play(&mut self, script: Script) -> anyhow::Result<Score> {
        let mut audience =
            timeout(PATIENCE, self.set_up()).await.context("the demo could not be set up")??;
        let start = Instant::now();
        let mut beat = interval(Duration::from_secs(1));
        beat.tick().await;
        let outage = script.outage.map(|(from, to)| (start + from, start + to));
        let mut next_scene = outage.map(|(from, _)| from);
        let end = start + script.end;
        loop {
            tokio::select! {
                happened = audience.watch() => happened?,
                _ = beat.tick() => self.show(start, &audience).await?,
                () = until(next_scene) => {
                    next_scene = self.change_scene(start, outage).await?;
                }
                () = sleep_until(end), if next_scene.is_none() => break,
            }
        }
        say(screen::happening(start.elapsed(), "the sensors stop"))?;
        let mut sent = Vec::new();
        for (name, sensor) in &mut self.sensors {
            sent.push((*name, sensor.stop().await));
        }
        audience.last_arrival = Instant::now();
        while !self.is_over(&audience, &sent).await {
            tokio::select! {
                happened = audience.watch() => happened?,
                _ = beat.tick() => self.show(start, &audience).await?,
            }
        }
        if audience.tally.strange > 0 {
            say(format_args!("{} states arrived that no sensor had sent", audience.tally.strange))?;
        }
        anyhow::ensure!(
            sent.iter().all(|(_, sent)| *sent > 0),
            "a simulated sensor could not send: {sent:?}"
        );
        Ok(audience.tally.score(&sent))
    }

    /// Everything in the order in which nothing can be missed: the cloud, who watches it, the sensors, the gateway.
    async fn set_up(&mut self) -> anyhow::Result<Audience> {
        let cloud = Cloud::start(&self.folder, self.clock.clone()).await?;
        let server = cloud.address();
        self.cloud = Some(cloud);
        let at_the_cloud = subscribed(server, 3600).await?;

        // What they say before their ports are opened waits in the ports.
        for (name, kind, every) in SENSORS {
            let port = self.folder.join(format!("{name}.port"));
            self.sensors.push((name, Simulated::start(kind, &port, 0, every)?));
        }
        let settings =
            vec!["listener.1.address=127.0.0.1:0".to_owned(), format!("uplink.cloud.url=mqtt://{server}")];
        let overrides = Overrides { settings, ..Overrides::default() };
        let loaded = config::parse(CONFIGURATION, &self.folder.join("demo.toml"), &overrides)?;
        let gateway = Gateway::start(&loaded.config, self.clock.clone()).await?;
        let addresses = gateway.listening().await;
        self.gateway = Some(gateway);
        let address = *addresses.first().context("the gateway does not listen")?;
        let at_the_gateway = subscribed(address, 0).await?;
        say(format_args!(
            "The gateway's own broker is at {address}: tidegate sub 'tidegate/#' --verbose --port {}\n\
             The cloud is played by a second broker at {server}.\n",
            address.port()
        ))?;

        let drop_one = std::env::var_os("TIDEGATE_DEMO_DROP_ONE").is_some_and(|value| value == "1");
        Ok(Audience {
            at_the_cloud,
            at_the_gateway,
            tally: Tally::new(SENSORS.map(|(name, kind, _)| (name, kind)), drop_one),
            latest: Latest::default(),
            last_arrival: Instant::now(),
        })
    }

    /// The cloud goes away, or comes back; when the next change is due.
    async fn change_scene(
        &mut self,
        start: Instant,
        outage: Option<(Instant, Instant)>,
    ) -> anyhow::Result<Option<Instant>> {
        let (Some((_, back)), Some(cloud)) = (outage, &mut self.cloud) else { return Ok(None) };
        if Instant::now() < back {
            say(screen::happening(start.elapsed(), "the cloud goes away; everything is kept"))?;
            cloud.stop().await;
            return Ok(Some(back));
        }
        cloud.come_back().await?;
        say(screen::happening(
            start.elapsed(),
            "the cloud is back; the gateway finds it when it next tries",
        ))?;
        Ok(None)
    }

    async fn show(&self, start: Instant, audience: &Audience) -> anyhow::Result<()> {
        let sent = self.sensors.iter().map(|(_, sensor)| sensor.next_number()).sum();
        let delivered = audience.tally.delivered();
        Ok(say(screen::line(start.elapsed(), &audience.latest, sent, delivered, self.kept().await))?)
    }

    /// What the gateway says that it still owes to the cloud.
    async fn kept(&self) -> u64 {
        let Some(gateway) = &self.gateway else { return 0 };
        gateway.snapshot().await.uplinks.values().map(|uplink| uplink.backlog_messages).sum()
    }

    /// Whether everything has arrived, or nothing more will.
    async fn is_over(&self, audience: &Audience, sent: &[(&'static str, u64)]) -> bool {
        let quiet = audience.last_arrival.elapsed();
        let all = audience.tally.score(sent).lost == 0;
        // A last repetition would come at once.
        (all && quiet > QUIET / 3) || quiet > STUCK || (quiet > QUIET && self.kept().await == 0)
    }

    /// Takes everything down in order.
    pub(super) async fn clear(self) {
        let Stage { cloud, sensors, gateway, .. } = self;
        drop(sensors);
        if let Some(gateway) = gateway {
            gateway.shutdown().await;
        }
        if let Some(mut cloud) = cloud {
            cloud.stop().await;
        }
    }
}

impl Audience {
    /// Waits for what either of the two sees.
    async fn watch(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            // An error is the outage: it connects again by itself.
            happened = self.at_the_cloud.next() => match happened {
                Ok(Happened::Arrived(arrival)) => {
                    self.tally.arrived(&arrival);
                    self.last_arrival = Instant::now();
                }
                Ok(Happened::Connected { session_present: false }) => {
                    anyhow::bail!("the cloud has forgotten the session of the client that counts");
                }
                _ => {}
            },
            happened = self.at_the_gateway.next() => {
                if let Happened::Arrived(arrival) = happened.context("the gateway's own broker")? {
                    self.latest.arrived(&arrival);
                }
            }
        }
        Ok(())
    }
}

/// Connects and subscribes to everything; returns when the server has said yes.
async fn subscribed(server: std::net::SocketAddr, session_expiry_seconds: u32) -> anyhow::Result<Link> {
    let mut link = Link::start(&Target {
        url: Url {
            scheme: Scheme::Mqtt,
            host: server.ip().to_string(),
            port: server.port(),
            path: String::new(),
        },
        route: Route::default(),
        version_5: true,
        client_id: "audience".to_owned(),
        login: None,
        keep_alive: Duration::from_secs(60),
        session_expiry_seconds,
    })?;
    link.client().subscribe(&["tidegate/#".to_owned()], QoS::AtLeastOnce).await?;
    loop {
        if let Happened::Subscribed(answers) = link.next().await? {
            anyhow::ensure!(answers.iter().all(Result::is_ok), "the subscription was refused");
            return Ok(link);
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
