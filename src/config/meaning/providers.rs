//! What a known cloud would refuse, told when the file is read.

use super::uplinks::ways_up;
use crate::bridge::{Provider, Takes};
use crate::config::kind;
use crate::config::report::Problem;
use crate::config::section::Section;
use crate::config::uplinks::Names;
use crate::mqtt::{QoS, TopicFilter, TopicName};

/// The cloud that an uplink says it goes to.
pub(in crate::config) fn provider(uplink: &Section<'_>) -> Option<&'static Provider> {
    Provider::find(uplink.text("provider")?)
}

pub(super) fn check(uplink: &Section<'_>, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let Some(provider) = provider(uplink) else {
        if let Some(node) = uplink.node("shared_access_key") {
            let message = "only Azure IoT Hub has shared access keys";
            let problem = Problem::error(uplink.path_of("shared_access_key"), node.place.clone(), message);
            problems.push(problem.help("add provider = \"azure-iot-hub\""));
        }
        return;
    };
    problems.extend(check_version(uplink, provider));
    problems.extend(check_encryption(uplink, provider));
    problems.extend(check_keep_alive(uplink, provider));
    problems.extend(check_client_id(uplink, names, provider));
    problems.extend(check_subscriptions(uplink, provider));
    problems.extend(check_login(uplink, provider));
    problems.extend(check_rate(uplink, provider));
    problems.extend(check_window(uplink, provider));
    check_forward(uplink, names, provider, problems);
}

fn check_version(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let wants_5 = uplink.text("version").is_some_and(|version| version == "5");
    if provider.speaks_5 || !wants_5 {
        return None;
    }
    let message = format!("{} does not speak MQTT 5", provider.called);
    let problem = Problem::error(uplink.path_of("version"), uplink.place_of("version"), message);
    Some(problem.help("version = \"3.1.1\", which is what it gets when you say nothing"))
}

fn check_encryption(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let urls = uplink.one_or_more("url");
    let (text, place) = urls
        .into_iter()
        .find(|(text, _)| ["mqtt:", "tcp:", "ws:"].iter().any(|scheme| text.starts_with(scheme)))?;
    let is_here = ["localhost", "127.", "[::1]"].iter().any(|here| text.contains(here));
    if provider.takes_plain || is_here {
        return None;
    }
    let message = format!("{} takes no connections without TLS", provider.called);
    Some(Problem::error(uplink.path_of("url"), place, message).help("begin it with mqtts://"))
}

fn check_keep_alive(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let seconds: u16 = uplink.number("keep_alive_seconds")?;
    let (least, most) = provider.keep_alive_seconds;
    if (least..=most).contains(&seconds) {
        return None;
    }
    let message = format!("{} takes a keep-alive of {least} to {most} s", provider.called);
    Some(Problem::error(uplink.path_of("keep_alive_seconds"), uplink.place_of("keep_alive_seconds"), message))
}

fn check_client_id(uplink: &Section<'_>, names: &Names<'_>, provider: &Provider) -> Option<Problem> {
    let most = provider.client_id_bytes?;
    let bytes = names.client_id.len();
    (bytes > most).then(|| {
        let message = format!("the client identifier has {bytes} bytes, {} takes {most}", provider.called);
        Problem::error(uplink.path_of("client_id"), uplink.place_of("client_id"), message)
    })
}

fn check_subscriptions(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let most = provider.subscriptions?;
    let count = uplink.node("receive").map_or(0, |node| node.elements().len());
    (count > most).then(|| {
        let message = format!("{count} filters are received, {} takes {most}", provider.called);
        Problem::error(uplink.path_of("receive"), uplink.place_of("receive"), message)
    })
}

fn check_login(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let key = uplink.node("shared_access_key");
    match (provider.shared_access, key) {
        (false, Some(node)) => {
            let message = format!("{} has no shared access keys", provider.called);
            Some(Problem::error(uplink.path_of("shared_access_key"), node.place.clone(), message))
        }
        (true, Some(_)) => uplink.node("password").map(|node| {
            let message = "the password is made from `shared_access_key`: two are one too many";
            Problem::error(uplink.path_of("password"), node.place.clone(), message)
        }),
        _ => None,
    }
}

/// More than the cloud takes is refused by it, or ends the connection.
fn check_rate(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let (said, most) = (kind::rate(uplink.text("rate")?).ok()?, provider.rate?);
    let is_more =
        u128::from(said.messages) * most.per.as_nanos() > u128::from(most.messages) * said.per.as_nanos();
    is_more.then(|| {
        let (number, seconds) = (most.messages, most.per.as_secs());
        let per = if seconds == 1 { "a second".to_owned() } else { format!("in {seconds} s") };
        let message = format!("{} takes {number} messages {per} on one connection", provider.called);
        let problem = Problem::warning(uplink.path_of("rate"), uplink.place_of("rate"), message);
        problem.help("without `rate` the gateway respects that by itself")
    })
}

fn check_window(uplink: &Section<'_>, provider: &Provider) -> Option<Problem> {
    let (said, most): (u16, u16) = (uplink.number("window")?, provider.window?);
    (said > most).then(|| {
        let message =
            format!("{} takes {most} messages that are not acknowledged: no more are sent", provider.called);
        Problem::warning(uplink.path_of("window"), uplink.place_of("window"), message)
    })
}

/// What each rule would send, as far as it is known before there is a message.
fn check_forward(uplink: &Section<'_>, names: &Names<'_>, provider: &Provider, problems: &mut Vec<Problem>) {
    let takes = provider.takes(names.client_id, uplink.text("username").unwrap_or_default());
    for way in ways_up(uplink, names) {
        let image = way.to.as_str();
        let key = uplink.path_of("forward");
        let why = match TopicName::parse(image.to_owned()) {
            Ok(topic) => takes.topic(&topic).err(),
            Err(_) => never_allowed(&way.to, &takes),
        };
        if let Some(why) = why {
            let message = format!("{} would refuse {image:?}: {why}", provider.called);
            let help = "rename it with `to`; what is refused goes to the dead letters";
            problems.push(Problem::error(key, way.place, message).help(help));
        } else if may_be_refused(&way.to, &takes) {
            let message = format!("{} may refuse some of {image:?}", provider.called);
            let known: Vec<&str> = takes.only_topics.iter().map(TopicFilter::as_str).collect();
            let help = format!("it takes {}; what it refuses goes to the dead letters", known.join(", "));
            problems.push(Problem::warning(key, way.place, message).help(help));
        }
    }
    for (at, rule) in names.forward(uplink).iter().enumerate() {
        if rule.maximum_qos > provider.maximum_qos {
            let most = match provider.maximum_qos {
                QoS::AtMostOnce => 0,
                QoS::AtLeastOnce => 1,
                QoS::ExactlyOnce => 2,
            };
            let message = format!("{} takes QoS {most} at most: it is sent so", provider.called);
            let key = format!("{}.{}.qos", uplink.path_of("forward"), at + 1);
            problems.push(Problem::warning(key, uplink.place_of("forward"), message));
        }
    }
}

/// Why nothing that this filter matches is taken, if so.
fn never_allowed(filter: &TopicFilter, takes: &Takes) -> Option<String> {
    let text = filter.as_str();
    // `+` and `#` stand for something: as many slashes there are at least.
    let least = text.replace(['+', '#'], "x");
    let topic = TopicName::parse(least).ok()?;
    let without_topics = Takes { only_topics: Vec::new(), ..takes.clone() };
    if let Err(why) = without_topics.topic(&topic) {
        return Some(why);
    }
    let possible = takes.only_topics.is_empty()
        || takes.only_topics.iter().any(|only| super::uplinks::overlap(only, filter));
    (!possible).then(|| {
        let known: Vec<&str> = takes.only_topics.iter().map(TopicFilter::as_str).collect();
        format!("the server takes no other topics than {}", known.join(", "))
    })
}

/// Whether it depends on the message.
fn may_be_refused(filter: &TopicFilter, takes: &Takes) -> bool {
    !takes.only_topics.is_empty()
        && !takes.only_topics.iter().any(|only| super::uplinks::covers(only, filter))
}
