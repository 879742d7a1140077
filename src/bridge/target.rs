//! How a topic is renamed: a new prefix, one topic for all, or a template.

use bytestring::ByteString;

use crate::mqtt::{TopicError, TopicFilter, TopicName};

/// What a message is called on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// As here.
    Same,
    /// The filter's levels ahead of its first wildcard are replaced by these; the others follow.
    Prefix(ByteString),
    /// Always this.
    Fixed(TopicName),
    /// Put together anew.
    Template(Vec<Part>),
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(ByteString),
    /// `{2}`: the second level of the topic.
    Level(usize),
    /// `{2..}`: the second level of the topic and all behind it.
    From(usize),
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The topic is none.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Braces that mean nothing.
    #[error(
        "{{{0}}} means nothing: {{1}} is the first level of the topic, {{2..}} the second and all behind it"
    )]
    Placeholder(String),
    /// A brace without its other.
    #[error("a brace stands alone")]
    Brace,
}

impl Target {
    /// Reads the `to` of a rule: a topic; a prefix followed by `#` (`#` alone: no prefix); or a topic with `{1}`, the
    /// first level of the old one, and `{2..}`, its second level and all behind it.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Target, TargetError> {
        if text.contains(['{', '}']) {
            return template(text);
        }
        let Some(prefix) = text.strip_suffix('#') else {
            return Ok(Target::Fixed(TopicName::parse(text.to_owned())?));
        };
        if prefix.is_empty() {
            return Ok(Target::Prefix(ByteString::new()));
        }
        let Some(levels) = prefix.strip_suffix('/') else {
            return Err(TopicError::MultiLevelMisplaced.into());
        };
        if !levels.is_empty() {
            TopicName::parse(levels.to_owned())?;
        }
        Ok(Target::Prefix(ByteString::from(prefix)))
    }

    /// The new name of a topic that `filter` matches.
    ///
    /// # Errors
    /// When it is none: too long, or empty.
    pub fn apply(&self, filter: &TopicFilter, topic: &TopicName) -> Result<TopicName, TopicError> {
        match self {
            Target::Same => Ok(topic.clone()),
            Target::Fixed(fixed) => Ok(fixed.clone()),
            Target::Prefix(prefix) => {
                let rest: Vec<&str> = topic.levels().skip(literal_levels(filter)).collect();
                let renamed = format!("{prefix}{}", rest.join("/"));
                // `a/#` matches `a` itself: no level follows the prefix.
                let renamed = if rest.is_empty() { renamed.trim_end_matches('/') } else { &renamed };
                TopicName::parse(renamed.to_owned())
            }
            Target::Template(parts) => {
                let renamed: String = parts.iter().map(|part| part.of(topic)).collect();
                TopicName::parse(renamed)
            }
        }
    }

    /// A filter for everything that this makes of what `filter` matches; it may match more, never less.
    #[must_use]
    pub fn image(&self, filter: &TopicFilter) -> Option<TopicFilter> {
        let text = match self {
            Target::Same => filter.matched().to_owned(),
            Target::Fixed(fixed) => fixed.as_str().to_owned(),
            Target::Prefix(prefix) => {
                let rest: Vec<&str> = filter.levels().skip(literal_levels(filter)).collect();
                let image = format!("{prefix}{}", rest.join("/"));
                if rest.is_empty() { image.trim_end_matches('/').to_owned() } else { image }
            }
            Target::Template(parts) => template_image(parts),
        };
        TopicFilter::parse(text).ok()
    }
}

/// The levels of a filter ahead of its first wildcard.
fn literal_levels(filter: &TopicFilter) -> usize {
    filter.levels().take_while(|level| !matches!(*level, "+" | "#")).count()
}

impl Part {
    fn of(&self, topic: &TopicName) -> String {
        match self {
            Part::Text(text) => text.to_string(),
            Part::Level(number) => {
                topic.levels().nth(number.saturating_sub(1)).unwrap_or_default().to_owned()
            }
            Part::From(number) => {
                let rest: Vec<&str> = topic.levels().skip(number.saturating_sub(1)).collect();
                rest.join("/")
            }
        }
    }
}

fn template(text: &str) -> Result<Target, TargetError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (inside, after) = behind.split_once('}').ok_or(TargetError::Brace)?;
        push_text(&mut parts, before)?;
        parts.push(placeholder(inside).ok_or_else(|| TargetError::Placeholder(inside.to_owned()))?);
        rest = after;
    }
    push_text(&mut parts, rest)?;
    Ok(Target::Template(parts))
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), TargetError> {
    if text.contains('}') {
        return Err(TargetError::Brace);
    }
    if !text.is_empty() {
        TopicName::parse(text.to_owned())?;
        parts.push(Part::Text(ByteString::from(text)));
    }
    Ok(())
}

fn placeholder(inside: &str) -> Option<Part> {
    let (number, from) = match inside.strip_suffix("..") {
        Some(number) => (number, true),
        None => (inside, false),
    };
    let number: usize =
        number.parse().ok().filter(|number| (1..=crate::limits::TOPIC_LEVELS).contains(number))?;
    Some(if from { Part::From(number) } else { Part::Level(number) })
}

/// Every level that holds a placeholder becomes `+`; from the first that may stand for several on, `#`.
fn template_image(parts: &[Part]) -> String {
    let mut image = String::new();
    for part in parts {
        match part {
            Part::Text(text) => image.push_str(text),
            Part::Level(_) => image.push('+'),
            Part::From(_) => {
                image.push('#');
                break;
            }
        }
    }
    let levels: Vec<&str> = image
        .split('/')
        .map(|level| match level {
            level if level.contains('#') => "#",
            level if level.contains('+') => "+",
            level => level,
        })
        .collect();
    levels.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text.to_owned()).unwrap()
    }

    fn renamed(from: &str, to: &str, topic: &str) -> String {
        let topic = TopicName::parse(topic.to_owned()).unwrap();
        Target::parse(to).unwrap().apply(&filter(from), &topic).unwrap().as_str().to_owned()
    }

    #[test]
    fn the_prefix_ahead_of_the_first_wildcard_is_replaced() {
        for (from, to, topic, expected) in [
            ("tidegate/#", "acme/site-7/#", "tidegate/gh/air/state", "acme/site-7/gh/air/state"),
            ("tidegate/+/state", "x/#", "tidegate/air/state", "x/air/state"),
            ("#", "all/#", "a/b", "all/a/b"),
            ("a/b/#", "#", "a/b/c/d", "c/d"),
            ("a/#", "/x/#", "a//b", "/x//b"),
            // The parent level of a filter becomes the prefix alone.
            ("a/#", "x/y/#", "a", "x/y"),
            ("a/b", "x/y/#", "a/b", "x/y"),
        ] {
            assert_eq!(renamed(from, to, topic), expected, "{from} {to} {topic}");
        }
    }

    #[test]
    fn without_a_wildcard_the_target_is_fixed_and_a_template_is_put_together() {
        let to = "devices/7/messages/events/";
        assert_eq!(renamed("t/+/state", to, "t/a/state"), to);
        assert_eq!(renamed("t/#", "site/{3}/{2}/x-{1}", "t/a/b/c"), "site/b/a/x-t");
        assert_eq!(renamed("t/#", "{2..}", "t/a/b/c"), "a/b/c");
        assert_eq!(renamed("t/#", "dt/{9}/{1..}", "t/a"), "dt//t/a");
    }

    #[test]
    fn bad_targets_are_refused_and_a_rename_into_nothing_is_an_error() {
        for bad in ["a#", "a/+/#", "", "{0}", "{x}", "a/{1", "a}/b", "+/{1}", "{1..2}"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        let nothing = Target::parse("#").unwrap().apply(&filter("a/#"), &TopicName::parse("a").unwrap());
        assert_eq!(nothing, Err(TopicError::Empty));
    }

    #[test]
    fn the_image_matches_whatever_a_target_makes() {
        for (from, to, expected) in [
            ("a/#", "x/#", "x/#"),
            ("a/+/c", "x/y/#", "x/y/+/c"),
            ("a/b", "x/#", "x"),
            ("a/#", "q", "q"),
            ("a/#", "s/{2}/{1}-z/end", "s/+/+/end"),
            ("a/#", "s/t{2..}/end", "s/#"),
        ] {
            let image = Target::parse(to).unwrap().image(&filter(from)).unwrap();
            assert_eq!(image.as_str(), expected, "{from} {to}");
        }
    }
}
