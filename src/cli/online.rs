//! `tidegate check --online`: tries what a configuration names: folders, listeners, ports, servers.
//!
//! Changes nothing: it writes no file, keeps no port, and logs in under a client identifier of its own.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};

use super::mqtt::{Happened, Link, Target};
use crate::adapter::serial::reach;
use crate::config::{Config, Listener, Loaded, Place, Problem, Secret, SecretError, Sensor, Source, Uplink};
use crate::mqtt::ProtocolVersion;
use crate::net::ListenAddress;
use crate::stream::{Proxy, Route, Url};

/// How long a server may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that does not work now.
pub(super) fn check(loaded: &Loaded) -> anyhow::Result<Vec<Problem>> {
    let Config { gateway, listeners, sensors, uplinks, .. } = &loaded.config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut problems = Vec::new();
    problems.extend(check_folder(loaded, &gateway.data_dir));
    for (at, listener) in listeners.iter().enumerate() {
        problems.extend(check_listener(loaded, at + 1, listener));
    }
    for sensor in sensors {
        problems.extend(check_port(loaded, sensor, &runtime));
    }
    for uplink in uplinks {
        problems.extend(check_uplink(loaded, uplink, &runtime));
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
    let key = format!("listener.{number}.address");
    let place = loaded.place(&key);
    let address = match &listener.address {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix { path, .. } => return check_socket_folder(key, place, path),
        // The socket is handed to the service, not to us.
        ListenAddress::Systemd(_) => return None,
    };
    let error = TcpListener::bind(address).err()?;
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

fn check_socket_folder(key: String, place: Place, path: &Path) -> Option<Problem> {
    let folder = path.parent()?;
    let error = access(folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let message = format!("no socket can be made in {}: {error}", folder.display());
    Some(Problem::error(key, place, message).help("a service has its own folder in /run: RuntimeDirectory="))
}

fn check_port(loaded: &Loaded, sensor: &Sensor, runtime: &tokio::runtime::Runtime) -> Option<Problem> {
    let (key, port) = match &sensor.source {
        Source::Serial { port, .. } => (format!("sensor.{}.serial", sensor.name), port),
        Source::Modbus { port, .. } => (format!("sensor.{}.modbus", sensor.name), port),
        Source::Ble { .. } => return None,
    };
    let place = loaded.place(&key);
    let path = match port.device_file() {
        Ok(Some(path)) => path,
        Ok(None) => {
            let message = runtime.block_on(reach(port)).err()?;
            return Some(Problem::error(key, place, message));
        }
        Err(message) => return Some(Problem::error(key, place, message)),
    };
    let Ok(found) = std::fs::metadata(&path) else {
        let message = format!("{} is not there", path.display());
        return Some(Problem::error(key, place, message).help("`tidegate scan` shows the ports that are"));
    };
    let error = access(&path, Access::READ_OK | Access::WRITE_OK).err()?;
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

fn check_uplink(loaded: &Loaded, uplink: &Uplink, runtime: &tokio::runtime::Runtime) -> Vec<Problem> {
    let proxy = match proxy_with_login(uplink) {
        Ok(proxy) => proxy,
        Err(error) => return vec![wrong_secret(loaded, uplink, "proxy_password", &error)],
    };
    let route = Route { proxy, tls: uplink.server.tls.clone(), ..Route::default() };
    let login = match login(uplink) {
        Ok(login) => login,
        Err(error) => return vec![wrong_secret(loaded, uplink, "password", &error)],
    };
    let check = |url: &Url| runtime.block_on(check_server(uplink, url, &route, login.clone())).err();
    let key = format!("uplink.{}.url", uplink.name);
    let problem =
        |(message, help): (String, String)| Problem::error(&key, loaded.place(&key), message).help(help);
    uplink.server.urls.iter().filter_map(check).map(problem).collect()
}

fn wrong_secret(loaded: &Loaded, uplink: &Uplink, key: &str, error: &SecretError) -> Problem {
    let key = format!("uplink.{}.{key}", uplink.name);
    Problem::error(&key, loaded.place(&key), error.to_string())
}

/// Connects and logs in; otherwise what is wrong, and what may help.
async fn check_server(
    uplink: &Uplink,
    url: &Url,
    route: &Route,
    login: Option<(String, String)>,
) -> Result<(), (String, String)> {
    let opened = tokio::time::timeout(PATIENCE, route.open(url)).await;
    let opened = opened.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    if let Err(words) = opened {
        let help = match words.as_str() {
            words if words.contains("refused") => "nothing listens there: is it the right port?",
            words if words.contains("no answer") => "is a firewall in between?",
            words if words.contains("looked up") => "is the name written correctly, and is there a network?",
            _ => "nothing was sent beyond that",
        };
        return Err((format!("{url} cannot be reached: {words}"), help.to_owned()));
    }
    let target = Target {
        url: url.clone(),
        route: route.clone(),
        version_5: uplink.version == ProtocolVersion::V5,
        // The uplink's own identifier would throw a running gateway out.
        client_id: format!("{}-check", uplink.client_id),
        login,
        keep_alive: Duration::from_secs(60),
        session_expiry_seconds: 0,
    };
    log_in(target).await.map_err(|error| {
        let help = format!("it was tried with the client identifier \"{}-check\"", uplink.client_id);
        (format!("the login failed: {error:#}"), help)
    })
}

fn proxy_with_login(uplink: &Uplink) -> Result<Option<Proxy>, SecretError> {
    let mut proxy = uplink.server.proxy.clone();
    if let (Some(proxy), Some(user)) = (&mut proxy, &uplink.server.proxy_username) {
        let password = uplink.server.proxy_password.as_ref().map(Secret::reveal).transpose()?;
        proxy.login = Some((user.clone(), password.unwrap_or_default()));
    }
    Ok(proxy)
}

fn login(uplink: &Uplink) -> Result<Option<(String, String)>, SecretError> {
    let password = uplink.password.as_ref().map(Secret::reveal).transpose()?;
    let user = uplink.username.clone().or_else(|| password.as_ref().map(|_| String::new()));
    Ok(user.map(|user| (user, password.unwrap_or_default())))
}

async fn log_in(target: Target) -> anyhow::Result<()> {
    let mut link = Link::start(&target)?;
    let answered = async {
        while !matches!(link.next().await?, Happened::Connected { .. }) {}
        link.disconnect().await
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("no answer within {} s: is it an MQTT server?", PATIENCE.as_secs()),
    }
}
