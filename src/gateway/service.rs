//! The gateway as a service: signals, systemd, exit code.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::Gateway;
use super::report::Reporter;
use super::supervisor::tell;
use crate::clock::Clock;
use crate::config::Config;
use crate::net::adopt_inherited_sockets;
use crate::telemetry::{
    CONTROL_SOCKET_NAME, ControlSocket, Dashboard, Question, StatusSocket, Wish, answer, socket_path,
    tell_person,
};

/// After this, systemd is told that the gateway is ready although a listener cannot be opened yet: sensors and
/// uplinks work.
const LISTENING_PATIENCE: Duration = Duration::from_secs(20);
/// How often the gateway looks at itself.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The contract allows 5 s.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(4500);

/// Runs a gateway until SIGTERM or SIGINT. `reread` gives the configuration anew at SIGHUP, or says what is wrong
/// with it.
///
/// # Errors
/// When it cannot start, or when a vital part of it ends by itself.
pub fn run(
    config: &Config,
    clock: Clock,
    reread: impl FnMut() -> Result<Config, String>,
) -> anyhow::Result<ExitCode> {
    adopt_inherited_sockets();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config, clock, reread));
    // What still runs on threads for blocking calls, a port that does not close, must not hold us up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn serve(
    config: &Config,
    clock: Clock,
    mut reread: impl FnMut() -> Result<Config, String>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let mut gateway = Gateway::start(config, clock).await?;
    let status = open_status(&socket_path(&config.gateway.data_dir));
    let control = open_control(&socket_path(&config.gateway.data_dir).with_file_name(CONTROL_SOCKET_NAME));
    let mut dashboard = open_dashboard(config.http).await;
    let mut reporter = Reporter::default();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ready = false;
    let patience_ends = Instant::now() + LISTENING_PATIENCE;
    loop {
        tokio::select! {
            listening = timeout_at(patience_ends, gateway.listening()), if !ready => {
                if listening.is_err() {
                    tracing::warn!("going on without a listener that cannot be opened yet");
                }
                ready = true;
                tell(&[NotifyState::Ready]);
                tracing::info!("gateway {} is ready", config.gateway.id);
            }
            asked = signals.next() => match asked {
                Asked::End => break,
                Asked::Reload => reload(&mut gateway, &mut reread).await,
            },
            wish = wished(control.as_ref()) => {
                if let Some((wish, stream)) = wish {
                    tell_person(stream, &gateway.carry_out(&wish).await);
                }
            }
            stream = asked(status.as_ref()) => answer(stream, &gateway.snapshot().await),
            _ = looks.tick() => reporter.look(&gateway).await,
            question = looked(dashboard.as_mut()) => question.answer(gateway.snapshot().await),
            () = gateway.failed() => anyhow::bail!("a vital part has ended by itself"),
        }
    }
    reporter.note(&gateway);
    tell(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    if timeout(SHUTDOWN_DEADLINE, gateway.shutdown()).await.is_err() {
        tracing::warn!("stopped in a hurry: what was not acknowledged may be missing in the journal");
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The socket of `tidegate status`. Without it the gateway works all the same.
fn open_status(path: &Path) -> Option<StatusSocket> {
    match StatusSocket::open(path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!("no status for `tidegate status`: {}: {error}", path.display());
            None
        }
    }
}

/// The dashboard, if one is wanted. Without it the gateway works all the same.
async fn open_dashboard(address: Option<SocketAddr>) -> Option<Dashboard> {
    let address = address?;
    match Dashboard::open(address).await {
        Ok(dashboard) => {
            tracing::info!("the dashboard is at http://{}/", dashboard.address());
            Some(dashboard)
        }
        Err(error) => {
            tracing::error!("no dashboard on {address}: {error}");
            None
        }
    }
}

async fn looked(dashboard: Option<&mut Dashboard>) -> Question {
    match dashboard {
        Some(dashboard) => dashboard.asked().await,
        None => std::future::pending().await,
    }
}

/// The socket of `tidegate uplink`. Without it the gateway works all the same.
fn open_control(path: &Path) -> Option<ControlSocket> {
    match ControlSocket::open(path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!("nothing for `tidegate uplink` to talk to: {}: {error}", path.display());
            None
        }
    }
}

async fn wished(control: Option<&ControlSocket>) -> Option<(Wish, UnixStream)> {
    match control {
        Some(socket) => socket.asked().await,
        None => std::future::pending().await,
    }
}

async fn asked(status: Option<&StatusSocket>) -> UnixStream {
    match status {
        Some(socket) => socket.asked().await,
        None => std::future::pending().await,
    }
}

async fn reload(gateway: &mut Gateway, reread: &mut impl FnMut() -> Result<Config, String>) {
    if let Ok(monotonic) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, monotonic]);
    }
    match reread() {
        Ok(config) => gateway.reload(&config).await,
        Err(problem) => tracing::error!("the configuration stays as it is: {problem}"),
    }
    tell(&[NotifyState::Ready]);
}

/// What a signal asks for.
enum Asked {
    End,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
