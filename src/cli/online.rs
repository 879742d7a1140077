//! `tidegate check --online`: tries what a configuration names: folders, listeners, ports, servers.
//!
//! Changes nothing: it writes no file, keeps no port, and logs in under a client identifier of its own.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};

use super::mqtt::{Happened, Link, Target};
use crate::config::{Config, Listener, Loaded, Problem, Sensor, Source, Uplink};
use crate::mqtt::ProtocolVersion;

/// How long a server may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that does not work now.
pub(super) fn check(loaded: &Loaded) -> anyhow::Result<Vec<Problem>> {
    let Config { gateway, listeners, sensors, uplinks, .. } = &loaded.config;
    let mut problems = Vec::new();
    problems.extend(check_folder(loaded, &gateway.data_dir));
    for (at, listener) in listeners.iter().enumerate() {
        problems.extend(check_listener(loaded, at + 1, listener));
    }
    for sensor in sensors {
        problems.extend(check_port(loaded, sensor));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for uplink in uplinks {
        problems.extend(check_server(loaded, uplink, &runtime));
    }
    Ok(problems)
}

fn check_folder(loaded: &Loaded, folder: &Path) -> Option<Problem> {
    let existing =
        folder.ancestors().find(|ancestor| ancestor.exists()).filter(|found| !found.as_os_str().is_empty());
    let existing = existing.unwrap_or(Path::new("."));
    let error = access(existing, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let message = format!("{} cannot be written: {error}", existing.display());
    let problem = Problem::error("gateway.data_dir", loaded.place("gateway.data_dir"), message);
    Some(
        problem
            .help("check as the user that the service runs as: sudo -u tidegate tidegate check --online ..."),
    )
}

fn check_listener(loaded: &Loaded, number: usize, listener: &Listener) -> Option<Problem> {
    let error = TcpListener::bind(listener.address).err()?;
    let key = format!("listener.{number}.address");
    let place = loaded.place(&key);
    let address = listener.address;
    Some(match error.kind() {
        ErrorKind::AddrInUse => Problem::warning(key, place, format!("{address} is in use"))
            .help("by the running gateway? else another program has the port: ss -ltnp"),
        ErrorKind::PermissionDenied => Problem::error(key, place, format!("{address}: {error}"))
            .help("ports below 1024 need a privilege that the gateway does not want; take another"),
        ErrorKind::AddrNotAvailable => {
            Problem::error(key, place, format!("this machine has no address {}", address.ip()))
                .help("0.0.0.0 stands for all of its addresses")
        }
        _ => Problem::error(key, place, format!("{address}: {error}")),
    })
}

fn check_port(loaded: &Loaded, sensor: &Sensor) -> Option<Problem> {
    let (key, path) = match &sensor.source {
        Source::Serial { path } => (format!("sensor.{}.serial", sensor.name), path),
        Source::Modbus { path, .. } => (format!("sensor.{}.modbus", sensor.name), path),
        Source::Ble { .. } => return None,
    };
    let place = loaded.place(&key);
    let Ok(found) = std::fs::metadata(path) else {
        let message = format!("{} is not there", path.display());
        return Some(Problem::error(key, place, message).help("`tidegate scan` shows the ports that are"));
    };
    let error = access(path, Access::READ_OK | Access::WRITE_OK).err()?;
    let message = format!("{} cannot be opened: {error}", path.display());
    let group = group_name(found.gid());
    Some(
        Problem::error(key, place, message)
            .help(format!("it belongs to the group {group}: sudo usermod -aG {group} USER")),
    )
}

/// The name of a group, else its number.
fn group_name(number: u32) -> String {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number.to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| number.to_string())
}

fn check_server(loaded: &Loaded, uplink: &Uplink, runtime: &tokio::runtime::Runtime) -> Option<Problem> {
    let url = format!("uplink.{}.url", uplink.name);
    let wrong = |message: String| Problem::error(&url, loaded.place(&url), message);
    let addresses: Vec<SocketAddr> = match (uplink.host.as_str(), uplink.port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Some(wrong(format!("the name {} cannot be resolved: {error}", uplink.host))),
    };
    if let Err(error) = connect(&addresses) {
        let message = format!("{}:{} cannot be reached: {error}", uplink.host, uplink.port);
        let problem = wrong(message);
        return Some(match error.kind() {
            ErrorKind::ConnectionRefused => problem.help("nothing listens there: is it the right port?"),
            ErrorKind::TimedOut => problem.help("is a firewall in between?"),
            _ => problem,
        });
    }
    let login = match login(uplink) {
        Ok(login) => login,
        Err(error) => {
            let key = format!("uplink.{}.password", uplink.name);
            return Some(Problem::error(&key, loaded.place(&key), error.to_string()));
        }
    };
    let target = Target {
        host: uplink.host.clone(),
        port: uplink.port,
        version_5: uplink.version == ProtocolVersion::V5,
        // The uplink's own identifier would throw a running gateway out.
        client_id: format!("{}-check", uplink.client_id),
        login,
        keep_alive: Duration::from_secs(60),
        session_expiry_seconds: 0,
    };
    let error = runtime.block_on(log_in(target)).err()?;
    let problem = wrong(format!("the login failed: {error:#}"));
    Some(problem.help(format!("it was tried with the client identifier \"{}-check\"", uplink.client_id)))
}

/// Connects to the first of the addresses that answers.
fn connect(addresses: &[SocketAddr]) -> std::io::Result<()> {
    let mut outcome = Err(std::io::Error::other("the name has no address"));
    for address in addresses {
        outcome = TcpStream::connect_timeout(address, PATIENCE).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn login(uplink: &Uplink) -> Result<Option<(String, String)>, crate::config::SecretError> {
    let password = uplink.password.as_ref().map(crate::config::Secret::reveal).transpose()?;
    let user = uplink.username.clone().or_else(|| password.as_ref().map(|_| String::new()));
    Ok(user.map(|user| (user, password.unwrap_or_default())))
}

async fn log_in(target: Target) -> anyhow::Result<()> {
    let mut link = Link::start(&target);
    let answered = async {
        while !matches!(link.next().await?, Happened::Connected { .. }) {}
        link.disconnect().await
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("no answer within {} s: is it an MQTT server?", PATIENCE.as_secs()),
    }
}
