//! Who may publish and subscribe what: the rules of `[[acl]]`, and what they come to for one client.
//!
//! The first rule that is about a client, an action and a topic decides; when there are rules and none does, the
//! answer is no. Without rules everybody who was let in may all. A pure calculation: knows neither sessions nor
//! files; who asks, and what follows from a no, is in `rights` and where the packets are handled.

mod permissions;
mod scope;
#[cfg(test)]
mod tests;

pub(super) use permissions::{Permissions, Reach};
pub use scope::TopicPattern;

use std::sync::Arc;

use bytestring::ByteString;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Publish, a will included.
    Publish,
    /// Subscribe, and get what is published.
    Subscribe,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actions {
    /// Publishing alone.
    Publish,
    /// Subscribing alone.
    Subscribe,
    /// Both.
    Both,
}

impl Actions {
    const fn include(self, action: Action) -> bool {
        matches!(
            (self, action),
            (Actions::Both, _)
                | (Actions::Publish, Action::Publish)
                | (Actions::Subscribe, Action::Subscribe)
        )
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// Which clients a rule is about; all that is said must be true, and nothing said is about everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// This user.
    pub user: Option<ByteString>,
    /// This client identifier.
    pub client: Option<ByteString>,
    /// Those without a user name; `false`: those with one.
    pub anonymous: Option<bool>,
}

impl Who {
    fn is(&self, user: Option<&str>, client: &str) -> bool {
        self.user.as_deref().is_none_or(|wanted| user == Some(wanted))
            && self.client.as_deref().is_none_or(|wanted| client == wanted)
            && self.anonymous.is_none_or(|wanted| wanted == user.is_none())
    }
}

/// One `[[acl]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Who it is about.
    pub who: Who,
    /// What it says.
    pub effect: Effect,
    /// About what.
    pub actions: Actions,
    /// Where.
    pub topic: TopicPattern,
}

/// The rules for everybody. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(Option<Arc<[Rule]>>);

impl Rights {
    /// Without rules: everybody who is let in may all.
    #[must_use]
    pub const fn unrestricted() -> Rights {
        Rights(None)
    }

    /// Only what these rules allow, the first that matches deciding.
    #[must_use]
    pub fn of(rules: Vec<Rule>) -> Rights {
        Rights(Some(rules.into()))
    }

    /// What they come to for one client.
    pub(super) fn of_client(&self, user: Option<&str>, client: &str) -> Permissions {
        let Some(rules) = &self.0 else { return Permissions::unrestricted() };
        Permissions::of(rules.iter().filter(|rule| rule.who.is(user, client)), user, client)
    }
}
