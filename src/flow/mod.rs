//! The quality-of-service machine of one direction of a session (section 4.3 of both standards).
//!
//! [`Outbound`] is the sender's side: its window, its packet identifiers and the phase of each delivery. The
//! broker uses it towards a subscriber, the bridge towards the cloud. [`Inbound`] is the receiver's side: which
//! QoS 2 identifiers are taken. Both know nothing of disks and sockets: the owner tells them what was committed
//! and sends what they say.

mod inbound;
mod open;
mod outbound;
#[cfg(test)]
mod tests;

pub use inbound::{Inbound, Publication};
pub(crate) use open::Open;
pub use outbound::{Outbound, Phase, Received, Resend};
