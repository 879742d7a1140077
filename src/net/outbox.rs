//! What waits for one connection's socket: handed over by the owner once per round, taken by the connection at once.
//!
//! Not a channel: the owner and the connection swap vectors, so that a busy connection allocates nothing and an
//! idle one holds nothing. The number of bytes that wait is bounded by the broker, which is told what was written
//! ([`crate::broker::Input::Written`]); acknowledgements are bounded by what the connection itself read, and it
//! does not read while much waits. Never drops anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::broker::{CloseReason, PublishFrame};
use crate::mqtt::{Packet, PacketIdentifier};

/// A vector with at most this much room is kept for the next hand-over...
const SMALL_ROOM: usize = 64;
/// ...one with at most this much if it was used well, and a larger one never.
pub(super) const LARGE_ROOM: usize = 1024;

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
    waker: Option<Waker>,
}

impl Outbox {
    /// Hands over everything in `batch`, in order, and leaves it empty.
    pub(super) fn hand_over(&self, batch: &mut Vec<Outgoing>) {
        let used = batch.len();
        let mut slot = self.slot();
        if slot.waiting.is_empty() {
            std::mem::swap(&mut slot.waiting, batch);
        } else {
            slot.waiting.append(batch);
        }
        let waker = slot.waker.take();
        drop(slot);
        give_back_room(batch, used);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing will be handed over any more.
    pub(super) fn abandon(&self) {
        let mut slot = self.slot();
        slot.abandoned = true;
        if let Some(waker) = slot.waker.take() {
            drop(slot);
            waker.wake();
        }
    }

    /// Takes everything that waits into `taken`, which is empty. `false`: the broker has stopped.
    pub(super) fn poll_take(&self, context: &mut Context<'_>, taken: &mut Vec<Outgoing>) -> Poll<bool> {
        debug_assert!(taken.is_empty(), "what was taken before is dealt with");
        let mut slot = self.slot();
        if !slot.waiting.is_empty() {
            give_back_room(taken, slot.waiting.len());
            std::mem::swap(&mut slot.waiting, taken);
            return Poll::Ready(true);
        }
        if slot.abandoned {
            return Poll::Ready(false);
        }
        match &slot.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => slot.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops an empty vector that is larger than what is needed, as `used` shows.
fn give_back_room(vector: &mut Vec<Outgoing>, used: usize) {
    let room = vector.capacity();
    if room > LARGE_ROOM || (room > SMALL_ROOM && used < room / 8) {
        *vector = Vec::new();
    }
}
