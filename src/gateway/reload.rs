//! SIGHUP: what of a new configuration is taken over while running, and what is only said to need a restart.

use super::Gateway;
use crate::config::Config;

/// Compares with what runs, section by section.
pub(super) fn reload(gateway: &mut Gateway, config: &Config) {
    let running = &gateway.config;
    let mut waiting = Vec::new();
    let mut compare = |section: &'static str, same: bool| {
        if !same {
            waiting.push(section);
        }
    };
    compare("[gateway]", running.gateway == config.gateway);
    compare("[broker]", running.limits == config.limits);
    compare("[[listener]]", running.listeners == config.listeners);
    compare("[journal]", running.journal == config.journal);
    compare("[sensor]", running.sensors == config.sensors);
    compare("[uplink]", running.uplinks == config.uplinks);
    compare("[http]", running.http == config.http);
    if waiting.is_empty() {
        tracing::info!("the configuration was read again: nothing has changed");
    } else {
        tracing::warn!("the configuration has changed; a restart is needed for {}", waiting.join(", "));
    }
}
