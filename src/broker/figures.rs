//! How much of everything the broker holds now. Only counts.

use super::Broker;

/// What the broker holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Sessions whose client is connected.
    pub connected: usize,
    /// Subscriptions of all sessions, each part in a shared one included.
    pub subscriptions: usize,
    /// Retained messages; the server's own are not among them.
    pub retained: usize,
}

impl Broker {
    /// Counts what there is. Looks at every session: not for every message.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures =
            Figures { sessions: self.sessions.len(), retained: self.retained.len(), ..Figures::default() };
        for (_, session) in self.sessions.iter() {
            figures.connected += usize::from(session.connection().is_some());
            figures.subscriptions += session.subscriptions.len();
        }
        figures
    }
}
