//! Users and access rules: each rule says one thing about somebody, and password files can be read.

use std::path::PathBuf;

use crate::broker::{Actions, Effect, Rights, Rule, TopicPattern, Who};
use crate::config::Folder;
use crate::config::report::Problem;
use crate::config::section::Section;
use crate::config::tree::{Node, Table};
use crate::device::nearest;
use crate::limits::Limits;
use crate::users::PasswordFile;

use super::missing;

pub(super) fn check(root: &Table, folder: &Folder, problems: &mut Vec<Problem>) {
    let broker = Section::of_root(root, "broker");
    let mut sections = Section::all(root.get("listener").map_or(&[][..], Node::elements), "listener");
    sections.push(broker);
    let users = check_password_files(&sections, folder, problems);
    check_connections(&sections, problems);
    let certifies = |listener: &Section<'_>| {
        listener.node("tls").and_then(Node::as_table).is_some_and(|tls| tls.get("client_ca").is_some())
    };
    let certifies = sections.iter().any(certifies);
    for rule in rule_sections(root) {
        check_rule(&rule, problems);
        check_user(&rule, users.as_deref().filter(|_| !certifies), certifies, problems);
    }
}

/// A listener cannot have more connections than all together.
fn check_connections(sections: &[Section<'_>], problems: &mut Vec<Problem>) {
    let Some((broker, listeners)) = sections.split_last() else { return };
    let together = broker.number("max_connections").unwrap_or(Limits::default().max_connections);
    for listener in listeners {
        let Some(own) = listener.number::<usize>("max_connections").filter(|own| *own > together) else {
            continue;
        };
        let message = format!("{own} connections here, but {together} of all listeners together");
        let problem = Problem::warning(
            listener.path_of("max_connections"),
            listener.place_of("max_connections"),
            message,
        );
        problems.push(problem.help(format!("max_connections = {own} in [broker]")));
    }
}

/// A rule about a user whom no client can be is probably a slip. `certifies`: certificates may name any user.
fn check_user(rule: &Section<'_>, known: Option<&[String]>, certifies: bool, problems: &mut Vec<Problem>) {
    let anonymous = rule.switch("anonymous");
    let user = rule.text("user").filter(|_| anonymous != Some(true));
    if user.is_none() && anonymous != Some(false) {
        return;
    }
    let about = |message: String| Problem::warning(rule.path_of("user"), rule.place_of("user"), message);
    match (known, user) {
        (None, _) if !certifies => {
            problems.push(about("no client has a user name: there is no password_file".to_owned()));
        }
        (Some(known), Some(user)) if user != "*" && !known.iter().any(|name| name == user) => {
            let problem = about(format!("there is no user {user:?} in any password_file"));
            problems.push(match nearest(user, known.iter().map(String::as_str)) {
                Some(name) => problem.help(format!("did you mean {name:?}?")),
                None => problem,
            });
        }
        _ => {}
    }
}

/// Reports files that cannot be used; the users of all, `None`: there is no file.
fn check_password_files(
    sections: &[Section<'_>],
    folder: &Folder,
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    let mut known = None;
    let mut seen: Vec<PathBuf> = Vec::new();
    for section in sections {
        let Some(path) = section.path("password_file", folder.path()) else { continue };
        let users = known.get_or_insert_with(Vec::new);
        if seen.contains(&path) {
            continue;
        }
        let (key, place) = (section.path_of("password_file"), section.place_of("password_file"));
        match PasswordFile::load(&path) {
            Err(problem) => problems.push(Problem::error(key, place, problem.to_string())),
            Ok(file) if file.names().next().is_none() => {
                let message = format!("there is no user in {}", path.display());
                let help = format!("tidegate passwd --file {} NAME", path.display());
                problems.push(Problem::warning(key, place, message).help(help));
            }
            Ok(file) => users.extend(file.names().map(|name| name.as_str().to_owned())),
        }
        seen.push(path);
    }
    known
}

fn check_rule(rule: &Section<'_>, problems: &mut Vec<Problem>) {
    let about = |key: &str, message: String| Problem::error(rule.path_of(key), rule.place_of(key), message);
    match (rule.node("allow").is_some(), rule.node("deny").is_some()) {
        (true, true) => {
            problems.push(about("deny", "a rule either allows or denies".to_owned()));
        }
        (false, false) => problems.push(missing(rule, "allow", "what the rule says, or `deny`")),
        _ => {}
    }
    match rule.text("topic") {
        None if rule.node("topic").is_none() => {
            problems.push(missing(rule, "topic", "where the rule holds; \"#\" is everywhere"));
        }
        Some(text) if text.starts_with("$share/") => {
            let message = "a shared subscription has the rights of its topics".to_owned();
            problems.push(about("topic", message).help("write the filter without $share/NAME/"));
        }
        _ => {}
    }
    let anonymous = rule.switch("anonymous");
    if rule.node("user").is_some() && anonymous == Some(true) {
        problems.push(about("anonymous", "a client with a user name is not anonymous".to_owned()));
    }
    let names_user = rule.text("topic").is_some_and(|topic| topic.contains("%u"));
    if names_user && anonymous == Some(true) {
        let message = "anonymous clients have no name that could stand for %u: this rule is about nobody";
        problems.push(Problem::warning(rule.path_of("topic"), rule.place_of("topic"), message));
    }
    for key in ["user", "client"] {
        if rule.text(key) == Some("*") {
            let message = format!("`*` is a {key} like any other");
            let help = format!("leave `{key}` out to mean everybody");
            problems.push(Problem::warning(rule.path_of(key), rule.place_of(key), message).help(help));
        }
    }
}

fn rule_sections(root: &Table) -> Vec<Section<'_>> {
    Section::all(root.get("acl").map_or(&[][..], Node::elements), "acl")
}

/// What the rules come to.
pub(in crate::config) fn rights(root: &Table) -> Rights {
    let sections = rule_sections(root);
    match sections.as_slice() {
        [] => Rights::unrestricted(),
        // A rule that could not be read would be an error: there is none here.
        rules => Rights::of(rules.iter().filter_map(rule).collect()),
    }
}

fn rule(section: &Section<'_>) -> Option<Rule> {
    let (effect, what) = match (section.text("allow"), section.text("deny")) {
        (Some(what), _) => (Effect::Allow, what),
        (None, what) => (Effect::Deny, what?),
    };
    Some(Rule {
        who: Who {
            user: section.text("user").map(Into::into),
            client: section.text("client").map(Into::into),
            anonymous: section.switch("anonymous"),
        },
        effect,
        actions: match what {
            "publish" => Actions::Publish,
            "subscribe" => Actions::Subscribe,
            _ => Actions::Both,
        },
        topic: TopicPattern::parse(section.text("topic")?).ok()?,
    })
}

/// Where the users of a listener are: in its own file, else in that of the broker.
pub(in crate::config) fn password_file(
    listener: &Section<'_>,
    broker: &Section<'_>,
    folder: &Folder,
) -> Option<PathBuf> {
    let of = |section: &Section<'_>| section.path("password_file", folder.path());
    of(listener).or_else(|| of(broker))
}
