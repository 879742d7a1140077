//! SIGHUP: what of a new configuration is taken over while running, and what is only said to need a restart.
//!
//! Sensors and listeners come and go one by one: those that did not change are not touched. A queue is never
//! touched by a reload.

use std::sync::Arc;

use super::Gateway;
use super::listeners::{self, KeptListener};
use super::sensors::{KeptSensor, Sources, neighbours};
use crate::config::Config;
use crate::net::Stopped;

/// Takes over what can be, and logs the rest.
pub(super) async fn reload(gateway: &mut Gateway, config: &Config) -> Result<(), Stopped> {
    let sensors = reload_sensors(gateway, config).await?;
    let changed = reload_rights(gateway, config).await?
        | sensors
        | reload_listeners(gateway, config).await?
        | reload_families(gateway, config, sensors).await?;
    let running = &gateway.config;
    let mut waiting = Vec::new();
    let mut compare = |section: &'static str, same: bool| {
        if !same {
            waiting.push(section);
        }
    };
    compare("[gateway]", running.gateway == config.gateway);
    compare("[broker]", running.limits == config.limits);
    compare("[journal]", running.journal == config.journal);
    compare("[uplink]", running.uplinks == config.uplinks);
    compare("[ble] connections", running.ble.connections == config.ble.connections);
    compare("[http]", running.http == config.http);
    if !waiting.is_empty() {
        tracing::warn!("the configuration has changed; a restart is needed for {}", waiting.join(", "));
    } else if !changed {
        tracing::info!("the configuration was read again: nothing has changed");
    }
    gateway.config.sensors.clone_from(&config.sensors);
    gateway.config.listeners.clone_from(&config.listeners);
    Ok(())
}

/// Devices that are sensors of their own now are no longer published of themselves, and the other way round.
async fn reload_families(gateway: &mut Gateway, config: &Config, sensors: bool) -> Result<bool, Stopped> {
    let changed = gateway.config.ble.auto != config.ble.auto;
    if changed || (sensors && !config.ble.auto.is_empty()) {
        let entrance = gateway.owner.entrance();
        for gone in gateway.bluetooth.publish_families(config, entrance, &gateway.presence) {
            gateway.presence.forget(gone).await?;
        }
        gateway.config.ble.auto.clone_from(&config.ble.auto);
    }
    Ok(changed)
}

async fn reload_sensors(gateway: &mut Gateway, config: &Config) -> Result<bool, Stopped> {
    // Sensors of one port come and go together.
    let before: Vec<_> = gateway.sensors.iter().map(|sensor| sensor.settings.clone()).collect();
    let keep = |sensor: &KeptSensor| {
        let settings = &sensor.settings;
        let is_there = config.sensors.contains(settings);
        is_there && neighbours(settings, &before) == neighbours(settings, &config.sensors)
    };
    let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut gateway.sensors).into_iter().partition(keep);
    gateway.sensors = kept;
    let mut changed = !gone.is_empty();
    for sensor in gone {
        let comes_back = config.sensors.iter().any(|other| other.name == sensor.settings.name);
        if !comes_back {
            tracing::info!("sensor {} is no longer served", sensor.settings.name);
            if let Some(topics) = sensor.topics() {
                gateway.presence.forget(topics.availability.clone()).await?;
            }
        }
    }
    let owner = gateway.owner.clone();
    let settings = &gateway.config.gateway;
    let (presence, bluetooth) = (&gateway.presence, &gateway.bluetooth);
    let sources = Sources::new(settings, owner.entrance(), presence, bluetooth, &gateway.system_clock);
    let is_new =
        |sensor: &&crate::config::Sensor| gateway.sensors.iter().all(|kept| kept.settings != **sensor);
    let new: Vec<_> = config.sensors.iter().filter(is_new).cloned().collect();
    for sensor in &new {
        tracing::info!("sensor {} is served as it is configured now", sensor.name);
        changed = true;
    }
    gateway.sensors.extend(sources.start(&new).await?);
    gateway.commands.update(&gateway.sensors);
    Ok(changed)
}

/// Nobody is disconnected by other rules.
async fn reload_rights(gateway: &mut Gateway, config: &Config) -> Result<bool, Stopped> {
    let changed = gateway.config.rights != config.rights;
    if changed {
        gateway.owner.entrance().change_rights(config.rights.clone()).await?;
        gateway.config.rights = config.rights.clone();
        tracing::info!("the access rules are those of the configuration now");
    }
    Ok(changed)
}

/// Connections that a closed listener had accepted go on, as long as their users have accounts. Password files are
/// read again in any case.
async fn reload_listeners(gateway: &mut Gateway, config: &Config) -> Result<bool, Stopped> {
    let keep = |listener: &KeptListener| config.listeners.contains(listener.settings());
    let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut gateway.listeners).into_iter().partition(keep);
    gateway.listeners = kept;
    let mut changed = !gone.is_empty();
    let mut doors = Vec::new();
    for listener in gone {
        doors.push((listener.settings().address.clone(), Arc::clone(listener.door())));
        listener.close().await;
    }
    for listener in &gateway.listeners {
        listener.renew_certificates().await;
    }
    let reception = gateway.owner.reception();
    for listener in &config.listeners {
        let door = match gateway.listeners.iter().find(|kept| kept.settings() == listener) {
            Some(kept) => Arc::clone(kept.door()),
            None => {
                let follows = doors.iter().find(|(address, _)| *address == listener.address);
                let door = follows.map(|(_, door)| Arc::clone(door));
                let started = listeners::start(listener, reception, &gateway.verifier, door);
                let door = Arc::clone(started.door());
                gateway.listeners.push(started);
                changed = true;
                door
            }
        };
        let shown_out = reception.change(&door, listeners::admittance(listener)).await?;
        if shown_out > 0 {
            tracing::info!("{shown_out} clients on {} have no account any more", listener.address);
        }
    }
    Ok(changed)
}
