//! What waits for one connection's socket: handed over by the owner once per round, taken by the connection at once.
//!
//! Not a channel: what is handed over is one vector, which goes back to where it came from, so that a busy connection
//! allocates nothing and an idle one holds nothing. The number of bytes that wait is bounded by the broker, which is told what was written
//! ([`crate::broker::Input::Written`]); acknowledgements are bounded by what the connection itself read, and it
//! does not read while much waits. Never drops anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::buffers;
use super::switchboard::Bell;
use crate::broker::{CloseReason, PublishFrame};
use crate::mqtt::{Packet, PacketIdentifier};

/// One thing for a connection to do.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Send a packet.
    Packet(Packet),
    /// Send a PUBLISH that was encoded once for many.
    Publish { frame: PublishFrame, packet_identifier: Option<PacketIdentifier>, dup: bool },
    /// Write what came before, then close.
    Close(CloseReason),
}

/// The place of hand-over.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    waiting: Vec<Outgoing>,
    /// The broker stopped: nothing will come any more.
    abandoned: bool,
    ring: Ring,
}

/// How the connection learns that something waits.
#[derive(Debug, Default)]
enum Ring {
    /// It looks for itself, first.
    #[default]
    Never,
    /// The task that it runs in is woken, once.
    Once(Waker),
    /// It has a seat at the switchboard.
    Each(Bell),
}

impl Ring {
    fn ring(&mut self) {
        match self {
            Ring::Never => {}
            Ring::Each(bell) => bell.ring(),
            Ring::Once(_) => {
                if let Ring::Once(waker) = std::mem::take(self) {
                    waker.wake();
                }
            }
        }
    }
}

impl Outbox {
    /// Hands over everything in `batch`, in order.
    pub(super) fn hand_over(&self, mut batch: Vec<Outgoing>) {
        let mut slot = self.slot();
        if slot.waiting.is_empty() {
            std::mem::swap(&mut slot.waiting, &mut batch);
        } else {
            slot.waiting.append(&mut batch);
        }
        slot.ring.ring();
        drop(slot);
        buffers::give_back_room(batch);
    }

    /// Nothing will be handed over any more.
    pub(super) fn abandon(&self) {
        let mut slot = self.slot();
        slot.abandoned = true;
        slot.ring.ring();
    }

    /// The connection has a seat at the switchboard from now on, and looks once after this by itself.
    pub(super) fn ring_with(&self, bell: Bell) {
        self.slot().ring = Ring::Each(bell);
    }

    /// Takes everything that waits; emptied, it is to be given back to [`buffers`]. `None`: the broker has stopped.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Vec<Outgoing>>> {
        let mut slot = self.slot();
        if !slot.waiting.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut slot.waiting)));
        }
        if slot.abandoned {
            return Poll::Ready(None);
        }
        match &slot.ring {
            Ring::Each(_) => {}
            Ring::Once(waker) if waker.will_wake(context.waker()) => {}
            Ring::Never | Ring::Once(_) => slot.ring = Ring::Once(context.waker().clone()),
        }
        Poll::Pending
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
