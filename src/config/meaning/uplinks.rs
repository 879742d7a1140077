//! Uplinks: what is missing, who would throw out whom, what would go round in circles.

use crate::bridge::{Forward, Target};
use crate::config::Folder;
use crate::config::build::host_name;
use crate::config::report::{Place, Problem};
use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::config::tree::{Node, Table};
use crate::config::uplinks::Names;
use crate::mqtt::{QoS, TopicFilter};
use crate::stream::{Scheme, TlsFileError, Url};

use super::missing;

/// What goes up unless the file says something else.
pub(in crate::config) const DEFAULT_FORWARD: &str = "tidegate/#";

pub(super) fn check(root: &Table, folder: &Folder, problems: &mut Vec<Problem>) {
    let uplinks = Section::named(root, "uplink");
    let gateway = Section::of_root(root, "gateway").text("id").map_or_else(host_name, str::to_owned);
    for (at, uplink) in uplinks.iter().enumerate() {
        if uplink.node("url").is_none() {
            problems.push(missing(uplink, "url", "for example \"mqtt://broker.example.com\""));
        }
        check_login(uplink, folder, problems);
        check_tls(uplink, folder, problems);
        check_proxy(uplink, folder, problems);
        check_rules(uplink, "forward", "it says which messages go up", problems);
        check_rules(uplink, "receive", "it says which messages come down", problems);
        check_durability(uplink, &Names::of(uplink, &gateway), problems);
        check_circles(uplink, &Names::of(uplink, &gateway), problems);
        super::providers::check(uplink, &Names::of(uplink, &gateway), problems);
        for other in uplinks.iter().take(at) {
            problems.extend(check_twins(other, uplink));
            check_circle_of_two((other, uplink), &gateway, problems);
        }
    }
}

fn check_login(uplink: &Section<'_>, folder: &Folder, problems: &mut Vec<Problem>) {
    let Some(password) = uplink.text("password") else { return };
    let place = uplink.place_of("password");
    let key = uplink.path_of("password");
    if uplink.node("username").is_none() && uplink.text("version") == Some("3.1.1") {
        let message = "MQTT 3.1.1 has no password without a username";
        problems.push(Problem::error(&key, place.clone(), message).help("add username = \"...\""));
    }
    problems.extend(check_secret(&key, place, password, folder));
}

/// What is encrypted needs all that it needs, and what is not must not look as if it were.
fn check_tls(uplink: &Section<'_>, folder: &Folder, problems: &mut Vec<Problem>) {
    let Some(section) = uplink.table("tls") else { return };
    let urls = crate::config::server::urls(uplink).unwrap_or_default();
    if let Some(open) = urls.iter().find(|url| !url.scheme.is_tls()) {
        let instead = if open.scheme == Scheme::Ws { "wss" } else { "mqtts" };
        let problem =
            Problem::error(&section.path, section.place.clone(), format!("{open} is not encrypted"));
        problems.push(problem.help(format!("write {instead}://")));
    }
    for (key, other) in [("key", "cert"), ("cert", "key")] {
        if section.node(key).is_none() && section.node(other).is_some() {
            let message = "`cert` and `key` belong together: a certificate and its private key";
            problems.push(Problem::error(section.path_of(key), section.place.clone(), message));
            return;
        }
    }
    let tls = crate::config::server::tls(uplink, folder);
    match tls.load() {
        // Whom the system trusts is the machine's affair; `check --online` tells.
        Ok(_) | Err(TlsFileError::NoRoots) => {}
        Err(error) => return problems.push(super::unusable_file(&section, "ca", &error)),
    }
    if let Some((cert, _)) = &tls.identity {
        problems.extend(super::check_end(&section, "cert", cert));
    }
}

fn check_proxy(uplink: &Section<'_>, folder: &Folder, problems: &mut Vec<Problem>) {
    for key in ["proxy_username", "proxy_password"] {
        if uplink.node(key).is_some() && uplink.node("proxy").is_none() {
            let message = format!("there is no `proxy` for this `{key}`");
            problems.push(Problem::error(uplink.path_of(key), uplink.place_of(key), message));
        }
    }
    if let Some(password) = uplink.text("proxy_password") {
        let key = uplink.path_of("proxy_password");
        problems.extend(check_secret(&key, uplink.place_of("proxy_password"), password, folder));
    }
}

/// A secret that is not there is found now, not at the first connection; one that lies open is told.
fn check_secret(key: &str, place: Place, text: &str, folder: &Folder) -> Option<Problem> {
    match folder.secret(text) {
        Secret::Plain(_) if place != Place::File && matches!(place, Place::Span(_)) => {
            let message = "the secret itself stands in the file";
            Some(Problem::warning(key, place, message).help(
                "put it into a file that only the gateway can read, and write \"file:PATH\"; \"env:NAME\" and \"credential:NAME\" work too",
            ))
        }
        Secret::Plain(_) | Secret::Credential(_) => None,
        secret @ Secret::Environment(_) => {
            secret.reveal().err().map(|error| Problem::warning(key, place, error.to_string()))
        }
        secret @ Secret::File(_) => {
            secret.reveal().err().map(|error| Problem::error(key, place, error.to_string()))
        }
    }
}

/// What travels at QoS 2 is on disk before it is sent, whatever the file says.
fn check_durability(uplink: &Section<'_>, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let is_twice = |rule: &Forward| rule.maximum_qos == QoS::ExactlyOnce;
    if uplink.text("durability") == Some("either") && names.forward(uplink).iter().any(is_twice) {
        let message = "what is forwarded at QoS 2 is on disk before it is sent";
        problems.push(
            Problem::warning(uplink.path_of("durability"), uplink.place_of("durability"), message)
                .help("`either` spares the disk what is forwarded at QoS 0 and 1"),
        );
    }
}

fn check_rules(uplink: &Section<'_>, key: &str, what: &str, problems: &mut Vec<Problem>) {
    let nodes = uplink.node(key).map_or(&[][..], Node::elements);
    for rule in Section::all(nodes, &uplink.path_of(key)) {
        let is_table = nodes.iter().any(|node| node.place == rule.place && node.as_table().is_some());
        if is_table && rule.node("filter").is_none() {
            problems.push(missing(&rule, "filter", what));
        }
    }
}

/// What one rule carries from one side to the other.
pub(super) struct Way {
    /// What it takes.
    pub(super) from: TopicFilter,
    /// What that is called on the other side.
    pub(super) to: TopicFilter,
    pub(super) place: Place,
}

impl Way {
    fn new(from: TopicFilter, target: &Target, place: &Place) -> Option<Way> {
        Some(Way { to: target.image(&from)?, from, place: place.clone() })
    }
}

pub(super) fn ways_up(uplink: &Section<'_>, names: &Names<'_>) -> Vec<Way> {
    let Some(node) = uplink.node("forward") else {
        let rules = names.forward(uplink).into_iter();
        return rules.filter_map(|rule| Way::new(rule.filter, &rule.to, &uplink.place)).collect();
    };
    let way = |node: &Node| {
        let rule = names.forward_line(node)?;
        Way::new(rule.filter, &rule.to, &node.place)
    };
    node.elements().iter().filter_map(way).collect()
}

fn ways_down(uplink: &Section<'_>, names: &Names<'_>) -> Vec<Way> {
    let nodes = uplink.node("receive").map_or(&[][..], Node::elements);
    let way = |node: &Node| {
        let rule = names.receive_line(node)?;
        Way::new(rule.filter, &rule.to, &node.place)
    };
    nodes.iter().filter_map(way).collect()
}

/// What goes up must not come down again under the name that it has there. MQTT 5 lets us ask the server not to
/// send back what we sent, and our own messages are marked; in 3.1.1 everything would come twice.
fn check_circles(uplink: &Section<'_>, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let ups = ways_up(uplink, names);
    let sends_back = uplink.text("version") == Some("3.1.1");
    for down in ways_down(uplink, names) {
        for up in &ups {
            let (above, below) = (up.from.as_str(), down.from.as_str());
            let (message, help) = if covers(&down.from, &up.to) {
                (
                    format!("everything that goes up with {above:?} would come back down with {below:?}"),
                    "receive only the topics of commands, as in \"tidegate/greenhouse/+/set\"",
                )
            } else if sends_back && overlap(&down.from, &up.to) {
                (
                    format!(
                        "what comes down with {below:?} would go up again with {above:?}, and so on for ever"
                    ),
                    "version = \"5\" ends the circle; else forward nothing that is received, or rename it with `to`",
                )
            } else {
                continue;
            };
            problems.push(
                Problem::error(uplink.path_of("receive"), down.place.clone(), message)
                    .also(&up.place, "goes up")
                    .help(help),
            );
        }
    }
}

/// Two uplinks to one server can make a circle, too: what comes down through one goes up through the other.
fn check_circle_of_two(
    (first, second): (&Section<'_>, &Section<'_>),
    gateway: &str,
    problems: &mut Vec<Problem>,
) {
    if !is_same_server(first, second) {
        return;
    }
    for (one, other) in [(first, second), (second, first)] {
        let downs = ways_down(one, &Names::of(one, gateway));
        let ups = ways_up(other, &Names::of(other, gateway));
        for down in &downs {
            let Some(up) = ups.iter().find(|up| overlap(&down.to, &up.from) && overlap(&up.to, &down.from))
            else {
                continue;
            };
            let message = format!(
                "what comes down through `{}` would go up again through `{}`, to the same server, and so on for ever",
                one.name, other.name
            );
            problems.push(
                Problem::error(one.path_of("receive"), down.place.clone(), message)
                    .also(&up.place, "goes up")
                    .help("let the topics that come down differ from those that go up"),
            );
        }
    }
}

/// Whether every topic that `narrow` matches is matched by `wide`.
pub(super) fn covers(wide: &TopicFilter, narrow: &TopicFilter) -> bool {
    let mut narrow = narrow.levels();
    for wanted in wide.levels() {
        if wanted == "#" {
            return true;
        }
        match narrow.next() {
            Some("#") | None => return false,
            Some(level) if wanted == level || wanted == "+" => {}
            Some(_) => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether there is a topic that both match.
pub(super) fn overlap(one: &TopicFilter, other: &TopicFilter) -> bool {
    let mut others = other.levels();
    for level in one.levels() {
        match (level, others.next()) {
            ("#", _) | (_, Some("#")) => return true,
            (_, None) => return false,
            (level, Some(other)) if level == other || level == "+" || other == "+" => {}
            _ => return false,
        }
    }
    others.next().is_none_or(|level| level == "#")
}

/// Whether one of the servers of both is the same.
fn is_same_server(first: &Section<'_>, second: &Section<'_>) -> bool {
    let servers = |uplink: &Section<'_>| {
        let urls: Vec<Url> = crate::config::server::urls(uplink).unwrap_or_default();
        urls.into_iter().map(|url| (url.host, url.port)).collect::<Vec<_>>()
    };
    let others = servers(second);
    servers(first).iter().any(|server| others.contains(server))
}

/// Two connections with one client identifier at one server throw each other out for ever.
fn check_twins(first: &Section<'_>, second: &Section<'_>) -> Option<Problem> {
    let same_server = is_same_server(first, second);
    if !same_server || first.text("client_id") != second.text("client_id") {
        return None;
    }
    let message = format!(
        "uplinks `{}` and `{}` are one client of one server: they would throw each other out",
        first.name, second.name
    );
    let problem = Problem::error(second.path_of("client_id"), second.place_of("client_id"), message)
        .also(&first.place_of("client_id"), "the first");
    Some(problem.help("give each a client_id of its own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_of_filters() {
        let filter = |text: &str| TopicFilter::parse(text.to_owned()).unwrap();
        for (wide, narrow, expected) in [
            ("#", "a/b", true),
            ("a/#", "a/#", true),
            ("a/#", "a/+/b", true),
            ("a/+/set", "a/#", false),
            ("a/+", "a/b", true),
            ("a/b", "a/+", false),
            ("a/+", "a/b/c", false),
        ] {
            assert_eq!(covers(&filter(wide), &filter(narrow)), expected, "{wide} {narrow}");
            assert!(!expected || overlap(&filter(wide), &filter(narrow)), "{wide} {narrow}");
        }
        for (one, other, expected) in [
            ("a/+/c", "+/b/#", true),
            ("a/b", "a", false),
            ("a/b", "b/#", false),
            ("a", "a/#", true),
            ("a/+", "a/b/c", false),
        ] {
            assert_eq!(overlap(&filter(one), &filter(other)), expected, "{one} {other}");
            assert_eq!(overlap(&filter(other), &filter(one)), expected, "{other} {one}");
        }
    }
}
