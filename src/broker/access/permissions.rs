//! What one client may do: the rules that are about it, with its names put in. Asked for every message of a client
//! that rules are about: allocates nothing.

use super::scope::{Relation, relation};
use super::{Action, Actions, Effect, Rule};
use crate::mqtt::{TopicFilter, TopicName};

/// The permissions of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Permissions(Option<Box<[Line]>>);

/// A rule that is about this client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    effect: Effect,
    actions: Actions,
    topic: TopicFilter,
}

/// How much of what a subscription asks for a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Reach {
    /// Every topic that it matches.
    Everything,
    /// Some of them: each message is asked about.
    Partly,
    /// None of them.
    Nothing,
}

impl Permissions {
    /// Everything is allowed.
    pub(in crate::broker) const fn unrestricted() -> Permissions {
        Permissions(None)
    }

    /// What these rules come to.
    pub(super) fn of<'a>(
        rules: impl Iterator<Item = &'a Rule>,
        user: Option<&str>,
        client: &str,
    ) -> Permissions {
        let line = |rule: &Rule| {
            let topic = rule.topic.for_client(user, client, rule.effect)?;
            Some(Line { effect: rule.effect, actions: rule.actions, topic })
        };
        Permissions(Some(rules.filter_map(line).collect()))
    }

    /// Whether a message may be published to a topic, or be got from it.
    pub(in crate::broker) fn allow(&self, action: Action, topic: &TopicName) -> bool {
        let Some(lines) = &self.0 else { return true };
        lines
            .iter()
            .find(|line| line.actions.include(action) && line.topic.matches(topic))
            .is_some_and(|line| line.effect == Effect::Allow)
    }

    /// How much of what a subscription matches may be had. `Everything` and `Nothing` are certain; `Partly` may turn
    /// out to be either.
    pub(in crate::broker) fn reach(&self, filter: &TopicFilter) -> Reach {
        let Some(lines) = &self.0 else { return Reach::Everything };
        let (mut allows, mut denies) = (false, false);
        for line in lines.iter().filter(|line| line.actions.include(Action::Subscribe)) {
            let relation = relation(&line.topic, filter);
            if relation == Relation::Disjoint {
                continue;
            }
            match line.effect {
                Effect::Allow => allows = true,
                Effect::Deny => denies = true,
            }
            if relation == Relation::Covers {
                return reach(allows, denies);
            }
        }
        // What no rule is about is not allowed.
        reach(allows, true)
    }
}

const fn reach(allows: bool, denies: bool) -> Reach {
    match (allows, denies) {
        (true, false) => Reach::Everything,
        (true, true) => Reach::Partly,
        (false, _) => Reach::Nothing,
    }
}
