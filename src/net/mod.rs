//! The broker's driver: sockets on one side, [`crate::broker::Broker`] on the other.
//!
//! ```text
//! listener ─ accepts ─▶ connection task ─ Batch ─▶ Inbox (bounded) ─▶ owner task ─▶ Broker::handle
//!                            ▲                                          │
//!                            └────────── Outbox, one hand-over ◀────────┤
//! adapters, uplinks ─ Source ─▶ a way of their own (bounded) ──────────▶│──▶ journal thread
//! ```
//!
//! One task owns the broker; there is no lock around it. Everything travels in batches: what one read brought is
//! one batch in, what one round of the owner yields is one hand-over and one write per connection. A full inbox
//! means that sockets are not read, which is how a publisher feels that it is too fast.
//!
//! Decides nothing about MQTT: that is the broker's. Never looks into a payload.

mod inbox;

pub use inbox::{Acceptances, Accepted, Entrance, Publication, Source, Stopped};
