//! Feeds systemd's watchdog while the broker, the journal and this task itself are alive.
//!
//! A source or an uplink that hangs is degraded, and no reason to restart the service.

use std::time::Duration;

use sd_notify::NotifyState;

use super::pulse::Pulse;

/// Looks after the gateway until it is dropped. Without a watchdog it only says when something hangs.
pub(super) async fn supervise(pulse: Pulse) {
    let watchdog = sd_notify::watchdog_enabled();
    // systemd recommends half of its time; a third leaves room for a slow disk.
    let period = watchdog.map_or(Duration::from_secs(10), |timeout| timeout / 3);
    let mut hanging = false;
    loop {
        tokio::time::sleep(period).await;
        let silent = pulse.silent(period).await;
        if !silent.is_empty() {
            hanging = true;
            tracing::error!("no sign of life from {} for {} s", silent.join(" and "), period.as_secs());
            continue;
        }
        if std::mem::take(&mut hanging) {
            tracing::info!("the broker and the journal are alive again");
        }
        if watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Tells systemd. Without systemd nobody listens, which is no error.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
