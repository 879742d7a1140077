//! The broker's next deadline as a sleep, armed anew only when it came closer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use crate::time::Instant;

/// Fires at or before the deadline: whoever is woken looks for himself what is due.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
}

impl Timer {
    /// Makes sure that it fires by `due`.
    pub(super) fn arm(&mut self, due: Option<Instant>, now: impl FnOnce() -> Instant) {
        let Some(due) = due else {
            return;
        };
        if self.armed.is_some_and(|armed| armed <= due) {
            return;
        }
        let at = tokio::time::Instant::now() + due.since(now());
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
        self.armed = Some(due);
    }

    /// Ready once per arming.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.armed.is_some() => {
                std::task::ready!(sleep.as_mut().poll(context));
                self.armed = None;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}
