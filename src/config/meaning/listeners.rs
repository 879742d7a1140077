//! Listeners together: one address each, what belongs together, and nobody lets strangers in by accident.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::Folder;
use crate::config::kind;
use crate::config::report::Problem;
use crate::config::section::Section;
use crate::config::tree::{Node, Table};
use crate::net::ListenAddress;
use crate::stream::{ClientAuthentication, ServerTls};

/// Where a listener listens that says nothing else.
pub(in crate::config) const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

pub(super) fn check(root: &Table, folder: &Folder, problems: &mut Vec<Problem>) {
    let broker = Section::of_root(root, "broker");
    let listeners = Section::all(root.get("listener").map_or(&[][..], Node::elements), "listener");
    let mut seen: Vec<(ListenAddress, &Section<'_>)> = Vec::new();
    for listener in &listeners {
        check_tls(listener, folder, problems);
        check_belonging(listener, problems);
        let Some(address) = written_address(listener, folder) else { continue };
        let chosen = matches!(address, ListenAddress::Tcp(tcp) if tcp.port() == 0);
        if let Some((_, other)) = seen.iter().find(|(other, _)| *other == address && !chosen) {
            problems.push(
                Problem::error(
                    listener.path_of("address"),
                    listener.place_of("address"),
                    "two listeners on one address",
                )
                .also(&other.place_of("address"), "the first"),
            );
        }
        problems.extend(check_anonymous(listener, &broker, &address));
        seen.push((address, listener));
    }
}

/// Without a password file, a listener is of use only to anonymous clients; beyond loopback it must say so.
fn check_anonymous(listener: &Section<'_>, broker: &Section<'_>, address: &ListenAddress) -> Option<Problem> {
    if anonymous_allowed(listener, broker, address) || has_users(listener, broker) {
        return None;
    }
    let problem = if is_local(listener, address) {
        Problem::error(
            listener.path_of("allow_anonymous"),
            listener.place_of("address"),
            "nobody could connect here: anonymous clients are not allowed, and there is no password file",
        )
        .help("allow_anonymous = true, a password_file, or a tls.client_ca")
    } else {
        Problem::error(
            listener.path_of("allow_anonymous"),
            listener.place_of("address"),
            match address {
                ListenAddress::Systemd(_) => {
                    "where systemd listens is not known here: everybody could publish and subscribe"
                        .to_owned()
                }
                address => {
                    format!("{address} is not loopback: everybody who reaches it could publish and subscribe")
                }
            },
        )
        .help("if that is meant, write allow_anonymous = true in this [[listener]]")
    };
    Some(problem)
}

/// Whether there are clients with a name: by password, or by certificate.
fn has_users(listener: &Section<'_>, broker: &Section<'_>) -> bool {
    let by_certificate = tls_section(listener).is_some_and(|tls| {
        tls.node("client_ca").is_some() && tls.switch("user_from_certificate") != Some(false)
    });
    by_certificate || listener.node("password_file").is_some() || broker.node("password_file").is_some()
}

/// Whether only this machine gets here. What comes through a proxy may come from anywhere.
fn is_local(listener: &Section<'_>, address: &ListenAddress) -> bool {
    address.is_local() && listener.switch("proxy_protocol") != Some(true)
}

/// Where a listener listens; `None` when that is not written as an address is.
pub(in crate::config) fn address(listener: &Section<'_>, folder: &Folder) -> Option<ListenAddress> {
    match listener.node("address") {
        None => Some(ListenAddress::Tcp(DEFAULT)),
        Some(_) => written_address(listener, folder),
    }
}

fn written_address(listener: &Section<'_>, folder: &Folder) -> Option<ListenAddress> {
    let address = kind::listen(listener.text("address")?).ok()?;
    let written_mode = listener.text("mode").and_then(|text| kind::mode(text).ok());
    Some(match address {
        ListenAddress::Unix { path, mode } => {
            ListenAddress::Unix { path: folder.path().join(path), mode: written_mode.unwrap_or(mode) }
        }
        other => other,
    })
}

/// Whether clients may come without a user name: what `[broker]` allows holds for loopback only.
pub(in crate::config) fn anonymous_allowed(
    listener: &Section<'_>,
    broker: &Section<'_>,
    address: &ListenAddress,
) -> bool {
    let on_loopback = || broker.switch("allow_anonymous").unwrap_or(true);
    listener.switch("allow_anonymous").unwrap_or_else(|| is_local(listener, address) && on_loopback())
}

fn tls_section<'a>(listener: &Section<'a>) -> Option<Section<'a>> {
    listener.table("tls")
}

/// `tls = { ... }`, when all of it is there.
pub(in crate::config) fn tls(listener: &Section<'_>, folder: &Folder) -> Option<ServerTls> {
    let tls = tls_section(listener)?;
    let clients = tls.path("client_ca", folder.path()).map(|ca| ClientAuthentication {
        ca,
        required: tls.text("client_certificate") != Some("optional"),
        names_user: tls.switch("user_from_certificate").unwrap_or(true),
    });
    Some(ServerTls { cert: tls.path("cert", folder.path())?, key: tls.path("key", folder.path())?, clients })
}

/// Certificates that cannot be used are found now, not by the first client.
fn check_tls(listener: &Section<'_>, folder: &Folder, problems: &mut Vec<Problem>) {
    let Some(section) = tls_section(listener) else { return };
    let mut complete = true;
    for (key, what) in [("cert", "the server's certificate chain"), ("key", "its private key")] {
        if section.node(key).is_none() {
            problems.push(super::missing(&section, key, what));
            complete = false;
        }
    }
    for key in ["client_certificate", "user_from_certificate"] {
        if section.node(key).is_some() && section.node("client_ca").is_none() {
            let message = format!("`{key}` is about certificates of clients, and there is no `client_ca`");
            problems.push(Problem::error(section.path_of(key), section.place_of(key), message));
        }
    }
    let Some(tls) = tls(listener, folder).filter(|_| complete) else { return };
    if let Err(error) = tls.load() {
        problems.push(super::unusable_file(&section, "cert", &error));
    } else {
        problems.extend(super::check_end(&section, "cert", &tls.cert));
    }
}

/// Keys that mean something only beside others.
fn check_belonging(listener: &Section<'_>, problems: &mut Vec<Problem>) {
    let mut alone = |key: &str, belongs: bool, to: &str| {
        if listener.node(key).is_some() && !belongs {
            let message = format!("`{key}` belongs to {to}");
            problems.push(Problem::error(listener.path_of(key), listener.place_of(key), message));
        }
    };
    let is_websocket = listener.text("protocol") == Some("websocket");
    alone("allowed_origins", is_websocket, "protocol = \"websocket\"");
    let is_unix = listener.text("address").is_some_and(|text| text.starts_with("unix:"));
    alone("mode", is_unix, "a Unix socket, address = \"unix:...\"");
}
