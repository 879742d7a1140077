//! Which topic a message has at the server: prefix replacement by the forward rules of an uplink.
//!
//! Which messages are forwarded at all was decided when they were accepted; this renames them, nothing else.

use bytestring::ByteString;

use crate::mqtt::{QoS, TopicError, TopicFilter, TopicName};

/// One line of an uplink's `forward` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Which messages.
    pub filter: TopicFilter,
    /// What they are called at the server.
    pub to: Target,
    /// The highest quality of service towards the server.
    pub maximum_qos: QoS,
}

/// What a forwarded message is called at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// As here.
    Same,
    /// The filter's levels ahead of its first wildcard are replaced by these; the others follow.
    Prefix(ByteString),
    /// Always this.
    Fixed(TopicName),
}

impl Target {
    /// Reads the `to` of a forward table: a topic, or a prefix followed by `#` (`#` alone: no prefix).
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Target, TopicError> {
        let Some(prefix) = text.strip_suffix('#') else {
            return TopicName::parse(text.to_owned()).map(Target::Fixed);
        };
        if prefix.is_empty() {
            return Ok(Target::Prefix(ByteString::new()));
        }
        let Some(levels) = prefix.strip_suffix('/') else {
            return Err(TopicError::MultiLevelMisplaced);
        };
        if !levels.is_empty() {
            TopicName::parse(levels.to_owned())?;
        }
        Ok(Target::Prefix(ByteString::from(prefix)))
    }
}

impl Forward {
    /// The name of a message at the server; `None` when this line is not about it.
    fn rename(&self, topic: &TopicName) -> Option<Result<TopicName, TopicError>> {
        if !self.filter.matches(topic) {
            return None;
        }
        Some(match &self.to {
            Target::Same => Ok(topic.clone()),
            Target::Fixed(fixed) => Ok(fixed.clone()),
            Target::Prefix(prefix) => {
                let literal = self.filter.levels().take_while(|level| !matches!(*level, "+" | "#")).count();
                let rest: Vec<&str> = topic.levels().skip(literal).collect();
                let renamed = format!("{prefix}{}", rest.join("/"));
                // `a/#` matches `a` itself: no level follows the prefix.
                let renamed = if rest.is_empty() { renamed.trim_end_matches('/') } else { &renamed };
                TopicName::parse(renamed.to_owned())
            }
        })
    }
}

/// The name of `topic` at the server: the first line that is about it decides; without one it is the same.
///
/// # Errors
/// When the renamed topic is none: too long, or empty.
pub(super) fn rename(forward: &[Forward], topic: &TopicName) -> Result<TopicName, TopicError> {
    forward.iter().find_map(|line| line.rename(topic)).unwrap_or_else(|| Ok(topic.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(filter: &str, to: &str, topic: &str) -> String {
        let filter = TopicFilter::parse(filter.to_owned()).unwrap();
        let line = Forward { filter, to: Target::parse(to).unwrap(), maximum_qos: QoS::AtLeastOnce };
        rename(&[line], &TopicName::parse(topic.to_owned()).unwrap()).unwrap().as_str().to_owned()
    }

    #[test]
    fn the_prefix_ahead_of_the_first_wildcard_is_replaced() {
        assert_eq!(
            renamed("tidegate/#", "acme/site-7/#", "tidegate/gh/air/state"),
            "acme/site-7/gh/air/state"
        );
        assert_eq!(renamed("tidegate/+/state", "x/#", "tidegate/air/state"), "x/air/state");
        assert_eq!(renamed("#", "all/#", "a/b"), "all/a/b");
        assert_eq!(renamed("a/b/#", "#", "a/b/c/d"), "c/d");
        assert_eq!(renamed("a/#", "/x/#", "a//b"), "/x//b");
    }

    #[test]
    fn the_parent_level_of_a_filter_becomes_the_prefix_alone() {
        assert_eq!(renamed("a/#", "x/y/#", "a"), "x/y");
        assert_eq!(renamed("a/b", "x/y/#", "a/b"), "x/y");
    }

    #[test]
    fn without_a_wildcard_the_target_is_fixed() {
        assert_eq!(
            renamed("t/+/state", "devices/7/messages/events/", "t/a/state"),
            "devices/7/messages/events/"
        );
    }

    #[test]
    fn what_no_line_is_about_keeps_its_name_and_the_first_line_decides() {
        assert_eq!(renamed("other/#", "x/#", "a/b"), "a/b");
        let line = |filter: &str, to: &str| Forward {
            filter: TopicFilter::parse(filter.to_owned()).unwrap(),
            to: Target::parse(to).unwrap(),
            maximum_qos: QoS::AtLeastOnce,
        };
        let topic = TopicName::parse("a/b").unwrap();
        let lines = [line("a/#", "first/#"), line("#", "second/#")];
        assert_eq!(rename(&lines, &topic).unwrap().as_str(), "first/b");
    }

    #[test]
    fn bad_targets_are_refused_and_a_rename_into_nothing_is_an_error() {
        assert_eq!(Target::parse("a#"), Err(TopicError::MultiLevelMisplaced));
        assert_eq!(Target::parse("a/+/#"), Err(TopicError::WildcardInName));
        assert_eq!(Target::parse(""), Err(TopicError::Empty));
        let line = Forward {
            filter: TopicFilter::parse("a/#").unwrap(),
            to: Target::parse("#").unwrap(),
            maximum_qos: QoS::AtLeastOnce,
        };
        assert_eq!(rename(&[line], &TopicName::parse("a").unwrap()), Err(TopicError::Empty));
    }
}
