//! Listeners together: one address each, and nobody lets strangers in by accident.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::kind;
use crate::config::report::Problem;
use crate::config::section::Section;
use crate::config::tree::{Node, Table};

/// Where a listener listens that says nothing else.
pub(in crate::config) const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

pub(super) fn check(root: &Table, problems: &mut Vec<Problem>) {
    let broker = Section::of_root(root, "broker");
    let listeners = Section::all(root.get("listener").map_or(&[][..], Node::elements), "listener");
    let mut seen: Vec<(SocketAddr, &Section<'_>)> = Vec::new();
    for listener in &listeners {
        let Some(address) = listener.text("address").and_then(|text| kind::address(text).ok()) else {
            continue;
        };
        let twin = seen.iter().find(|(other, _)| *other == address && address.port() != 0);
        if let Some((_, other)) = twin {
            problems.push(
                Problem::error(
                    listener.path_of("address"),
                    listener.place_of("address"),
                    "two listeners on one address",
                )
                .also(&other.place_of("address"), "the first"),
            );
        }
        problems.extend(check_anonymous(listener, &broker, address));
        seen.push((address, listener));
    }
}

/// Without a password file, a listener is of use only to anonymous clients; beyond loopback it must say so.
fn check_anonymous(listener: &Section<'_>, broker: &Section<'_>, address: SocketAddr) -> Option<Problem> {
    let has_users = listener.node("password_file").is_some() || broker.node("password_file").is_some();
    if anonymous_allowed(listener, broker, address) || has_users {
        return None;
    }
    let problem = if address.ip().is_loopback() {
        Problem::error(
            listener.path_of("allow_anonymous"),
            listener.place_of("address"),
            "nobody could connect here: anonymous clients are not allowed, and there is no password file",
        )
        .help("allow_anonymous = true, or a password_file")
    } else {
        Problem::error(
            listener.path_of("allow_anonymous"),
            listener.place_of("address"),
            format!("{address} is not loopback: everybody who reaches it could publish and subscribe"),
        )
        .help("if that is meant, write allow_anonymous = true in this [[listener]]")
    };
    Some(problem)
}

/// Where a listener listens; `None` when that is not written as an address is.
pub(in crate::config) fn address(listener: &Section<'_>) -> Option<SocketAddr> {
    listener.node("address").map_or(Some(DEFAULT), |node| kind::address(node.as_text()?).ok())
}

/// Whether clients may come without a user name: what `[broker]` allows holds for loopback only.
pub(in crate::config) fn anonymous_allowed(
    listener: &Section<'_>,
    broker: &Section<'_>,
    address: SocketAddr,
) -> bool {
    let on_loopback = || broker.switch("allow_anonymous").unwrap_or(true);
    listener.switch("allow_anonymous").unwrap_or_else(|| address.ip().is_loopback() && on_loopback())
}
