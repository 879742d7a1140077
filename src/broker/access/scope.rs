//! Where a rule holds: a topic filter in which `%u` stands for the user and `%c` for the client identifier.
//!
//! A name must never widen a rule. One that means something in topics (`+`, `#`, `/`, a leading `$`) is not put in:
//! a rule that allows does not hold for its bearer then, and one that denies holds for everything from that level on.

use bytestring::ByteString;

use super::Effect;
use crate::mqtt::{TopicError, TopicFilter};

/// A topic filter with `%u` and `%c` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPattern(ByteString);

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is no topic filter, or one of a shared subscription: what is shared has the rights of its members.
    pub fn parse(text: &str) -> Result<TopicPattern, TopicError> {
        let filter = TopicFilter::parse(text)?;
        if filter.share_name().is_some() {
            return Err(TopicError::Share);
        }
        Ok(TopicPattern(text.into()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter for one client; `None`: the rule is not about it.
    pub(super) fn for_client(&self, user: Option<&str>, client: &str, effect: Effect) -> Option<TopicFilter> {
        if !self.0.contains('%') {
            return TopicFilter::parse(self.0.clone()).ok();
        }
        let mut text = String::with_capacity(self.0.len());
        for (at, level) in self.0.split('/').enumerate() {
            if at > 0 {
                text.push('/');
            }
            match put_names(level, user, client, &mut text) {
                Names::Put => {}
                Names::Missing => return None,
                Names::Unsafe if effect == Effect::Allow => return None,
                Names::Unsafe => {
                    text.push('#');
                    break;
                }
            }
        }
        TopicFilter::parse(text).ok()
    }
}

/// What became of the names in a level.
enum Names {
    Put,
    /// The client has no such name.
    Missing,
    /// The name means something in topics; nothing was written.
    Unsafe,
}

fn put_names(level: &str, user: Option<&str>, client: &str, text: &mut String) -> Names {
    let mut parts = level.split('%');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = match (part.strip_prefix('u'), part.strip_prefix('c')) {
            (Some(rest), _) => (user, rest),
            (None, Some(rest)) => (Some(client), rest),
            (None, None) => {
                whole.push('%');
                whole.push_str(part);
                continue;
            }
        };
        let Some(name) = name else { return Names::Missing };
        if !is_plain(name) {
            return Names::Unsafe;
        }
        whole.push_str(name);
        whole.push_str(rest);
    }
    text.push_str(&whole);
    Names::Put
}

/// Whether a name means nothing but itself in a topic.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$') && !name.contains(['+', '#', '/', '\0'])
}

/// How the topics that a rule is about lie to those that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// All that is asked for is among them.
    Covers,
    /// Some of it is, or it is not certain that all is.
    Overlaps,
    /// Nothing of it is.
    Disjoint,
}

/// How a rule's topics lie to those of a subscription, level by level.
pub(super) fn relation(rule: &TopicFilter, wanted: &TopicFilter) -> Relation {
    let (rule, wanted) = (rule.matched(), wanted.matched());
    // [MQTT-4.7.2-1]: wildcards of the first level pass over the server's own topics.
    let passes_over = |one: &str, other: &str| one.starts_with(['+', '#']) && other.starts_with('$');
    if passes_over(rule, wanted) || passes_over(wanted, rule) {
        return Relation::Disjoint;
    }
    let mut is_wider = false;
    let mut rule_levels = rule.split('/');
    let mut wanted_levels = wanted.split('/');
    loop {
        match (rule_levels.next(), wanted_levels.next()) {
            // `a/#` is about `a` too.
            (Some("#"), _) | (None, None) if !is_wider => return Relation::Covers,
            (Some("#"), _) | (None, None) | (_, Some("#")) => return Relation::Overlaps,
            (None, Some(_)) | (Some(_), None) => return Relation::Disjoint,
            (Some("+"), Some(_)) => {}
            (Some(_), Some("+")) => is_wider = true,
            (Some(one), Some(other)) if one == other => {}
            (Some(_), Some(_)) => return Relation::Disjoint,
        }
    }
}
