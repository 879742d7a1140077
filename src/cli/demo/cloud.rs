//! The demo's cloud: a second broker in this process, with a journal of its own, that can go away and come back.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use crate::clock::Clock;
use crate::config::{self, Config, Overrides};
use crate::gateway::Gateway;
use crate::net::ListenAddress;

/// A broker that plays the cloud.
pub(super) struct Cloud {
    config: Config,
    clock: Clock,
    address: SocketAddr,
    running: Option<Gateway>,
}

impl Cloud {
    /// Starts it on a port of the system's choice.
    pub(super) async fn start(folder: &Path, clock: Clock) -> anyhow::Result<Cloud> {
        let settings = ["gateway.id=cloud", "gateway.data_dir=cloud", "listener.1.address=127.0.0.1:0"];
        let overrides = Overrides { settings: settings.map(str::to_owned).into(), ..Overrides::default() };
        let mut config = config::parse("", &folder.join("cloud.toml"), &overrides)?.config;
        let gateway = Gateway::start(&config, clock.clone()).await?;
        let addresses = gateway.listening().await;
        let address = *addresses.first().context("the cloud does not listen")?;
        for listener in &mut config.listeners {
            listener.address = ListenAddress::Tcp(address);
        }
        Ok(Cloud { config, clock, address, running: Some(gateway) })
    }

    /// Where it listens, whenever it is there.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It goes away.
    pub(super) async fn stop(&mut self) {
        if let Some(gateway) = self.running.take() {
            gateway.shutdown().await;
        }
    }

    /// It comes back, with what it had kept.
    pub(super) async fn come_back(&mut self) -> anyhow::Result<()> {
        let gateway = Gateway::start(&self.config, self.clock.clone()).await?;
        gateway.listening().await;
        self.running = Some(gateway);
        Ok(())
    }
}
