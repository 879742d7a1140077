//! What a message is called on the other side, and how it travels: the forward and receive rules of an uplink.
//!
//! Which messages are forwarded at all was decided when they were accepted; this renames them, nothing else.

use std::time::Duration;

use bytestring::ByteString;

use super::target::Target;
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
    /// Whether the server is to retain them.
    pub retain: RetainPolicy,
    /// Which go first.
    pub priority: Priority,
    /// How many at most; the rest waits.
    pub rate: Option<Rate>,
    /// How many travel together, if they do.
    pub batch: Option<Batch>,
}

/// Whether what is forwarded is retained at the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RetainPolicy {
    /// As the publisher said.
    #[default]
    Keep,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What goes first when not everything can go at once. A higher one always goes before a lower one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others; not held back by the byte budget and the time windows of a metered link.
    Alarm,
    /// The usual.
    #[default]
    Normal,
    /// When nothing else waits.
    Bulk,
}

/// So many messages in so much time, evenly, with a little in reserve for a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub messages: u32,
    /// In how much time.
    pub per: Duration,
}

/// Many readings in one publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// How many messages at most.
    pub messages: usize,
    /// How many bytes of payload at most.
    pub bytes: usize,
    /// How long the first of them may wait for the others.
    pub linger: Duration,
}

/// One line of an uplink's `receive` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// What the server is asked for.
    pub filter: TopicFilter,
    /// What it is called here.
    pub to: Target,
    /// The highest quality of service.
    pub maximum_qos: QoS,
    /// What waited at the server for longer than this is not passed on any more.
    pub max_age: Option<Duration>,
}

impl Forward {
    /// A line that says nothing but what goes up.
    #[must_use]
    pub const fn new(filter: TopicFilter) -> Forward {
        Forward {
            filter,
            to: Target::Same,
            maximum_qos: QoS::AtLeastOnce,
            retain: RetainPolicy::Keep,
            priority: Priority::Normal,
            rate: None,
            batch: None,
        }
    }

    /// The name of the queue that keeps its messages; the usual one has none. Lines that are held back on their own
    /// have queues of their own, so that they hold back nothing else.
    #[must_use]
    pub fn queue(&self) -> ByteString {
        let class = match self.priority {
            Priority::Alarm => "alarm",
            Priority::Normal => "",
            Priority::Bulk => "bulk",
        };
        if self.rate.is_none() && self.batch.is_none() {
            return ByteString::from_static(class);
        }
        ByteString::from(format!("{class}:{}", self.filter.as_str()))
    }

    /// The name of a topic at the server, if that is another than here.
    ///
    /// # Errors
    /// As [`rename`].
    pub(super) fn renames(&self, topic: &TopicName) -> Result<Option<TopicName>, TopicError> {
        match &self.to {
            Target::Same => Ok(None),
            to => to.apply(&self.filter, topic).map(Some),
        }
    }

    /// Whether the server is to retain a message that `said` so here.
    pub(super) const fn retains(&self, said: bool) -> bool {
        match self.retain {
            RetainPolicy::Keep => said,
            RetainPolicy::Always => true,
            RetainPolicy::Never => false,
        }
    }
}

impl Receive {
    /// A line that says nothing but what comes down.
    #[must_use]
    pub const fn new(filter: TopicFilter) -> Receive {
        Receive { filter, to: Target::Same, maximum_qos: QoS::AtLeastOnce, max_age: None }
    }

    /// What a message of the server is called here, and how old it may be.
    pub(super) fn find<'a>(lines: &'a [Receive], topic: &TopicName) -> Option<&'a Receive> {
        lines.iter().find(|line| line.filter.matches(topic))
    }
}

/// The first line that is about a message.
pub(super) fn find<'a>(forward: &'a [Forward], topic: &TopicName) -> Option<&'a Forward> {
    forward.iter().find(|line| line.filter.matches(topic))
}

/// The name of `topic` at the server: the first line that is about it decides; without one it is the same.
///
/// # Errors
/// When the renamed topic is none: too long, or empty.
pub(super) fn rename(forward: &[Forward], topic: &TopicName) -> Result<TopicName, TopicError> {
    match find(forward, topic) {
        Some(line) => line.to.apply(&line.filter, topic),
        None => Ok(topic.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(filter: &str, to: &str) -> Forward {
        let filter = TopicFilter::parse(filter.to_owned()).unwrap();
        Forward { to: Target::parse(to).unwrap(), ..Forward::new(filter) }
    }

    #[test]
    fn what_no_line_is_about_keeps_its_name_and_the_first_line_decides() {
        let topic = TopicName::parse("a/b").unwrap();
        assert_eq!(rename(&[line("other/#", "x/#")], &topic).unwrap(), topic);
        let lines = [line("a/#", "first/#"), line("#", "second/#")];
        assert_eq!(rename(&lines, &topic).unwrap().as_str(), "first/b");
    }

    #[test]
    fn what_is_held_back_on_its_own_has_a_queue_of_its_own() {
        let plain = line("a/#", "#");
        let alarm = Forward { priority: Priority::Alarm, ..plain.clone() };
        let rated =
            Forward { rate: Some(Rate { messages: 1, per: Duration::from_secs(1) }), ..plain.clone() };
        assert_eq!(
            [plain.queue(), alarm.queue(), rated.queue()].map(|name| name.to_string()),
            ["", "alarm", ":a/#"]
        );
    }
}
