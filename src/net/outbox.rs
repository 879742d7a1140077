//! What waits for one connection's socket: handed over by the owner once per round, taken by the connection at once.
//!
//! Not a channel: what is handed over is one vector, which goes back to where it came from, so that a busy connection
//! allocates nothing and an idle one holds nothing. The number of bytes that wait is bounded by the broker, which is told what was written
//! ([`crate::broker::Input::Written`]); acknowledgements are bounded by what the connection itself read, and it
//! does not read while much waits. Never drops anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::buffers;
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
    waker: Option<Waker>,
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
        let waker = slot.waker.take();
        drop(slot);
        buffers::give_back_room(batch);
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

    /// Takes everything that waits; emptied, it is to be given back to [`buffers`]. `None`: the broker has stopped.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Vec<Outgoing>>> {
        let mut slot = self.slot();
        if !slot.waiting.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut slot.waiting)));
        }
        if slot.abandoned {
            return Poll::Ready(None);
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
