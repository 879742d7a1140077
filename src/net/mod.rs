//! The broker's driver: sockets on one side, [`crate::broker::Broker`] on the other.
//!
//! ```text
//! listener ─ accepts ─▶ gate: TLS, WebSocket, where they are wanted ─▶ introduction: CONNECT, the door
//!                            ┌─────────────────────────────────────────────────┘
//!    switchboard (plain) or a task each ─ Batch ─▶ Inbox (bounded) ─▶ owner task ─▶ Broker::handle
//!                            ▲                                          │
//!                            └────────── Outbox, one hand-over ◀────────┤
//! adapters, uplinks ─ Source ─▶ a way of their own (bounded) ──────────▶│──▶ journal thread
//! ```
//!
//! One task owns the broker; there is no lock around it. Owner, listeners and connections share one thread, see
//! [`BrokerThread`]. Everything travels in batches: what one read brought is
//! one batch in, what one round of the owner yields is one hand-over and one write per connection. A full inbox
//! means that sockets are not read, which is how a publisher feels that it is too fast.
//!
//! Decides nothing about MQTT: that is the broker's. Never looks into a payload.

mod admission;
mod buffers;
mod certificates;
mod connect_rate;
mod connection;
mod counters;
mod door;
mod endpoint;
mod gate;
mod inbox;
mod inherited;
mod introduction;
mod journal_link;
mod links;
mod listener;
mod outbox;
mod owner;
mod pace;
mod reader;
mod switchboard;
#[cfg(test)]
mod tests;
mod thread;
mod timer;
mod wire;
mod writer;

use std::sync::Arc;

pub use certificates::Certificates;
pub use counters::{Counters, Refusal};
pub use door::{Admittance, Door};
pub use endpoint::{Bound, ListenAddress};
pub use gate::Layers;
pub use inbox::{Acceptances, Accepted, Entrance, Publication, Source, Stopped};
pub use inherited::adopt_inherited_sockets;
pub use journal_link::JournalLink;
pub use listener::{ListenError, Listener, ListenerSettings, Reception};
pub use owner::{OwnerHandle, OwnerParts, start};
pub use thread::BrokerThread;

use crate::broker::Event;
use crate::time::Moment;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Learns what happens, to count and to show it. Must not wait.
pub trait Observer: Send {
    /// Something happened.
    fn event(&mut self, event: Event);
}
