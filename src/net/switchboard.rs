//! The one task that serves every plain connection.
//!
//! A task for each would be simpler to read, and was: it costs an idle connection 900 bytes, most of all there is of
//! it. Here it is its state and a seat. The system tells the switchboard which sockets are worth a look (one epoll
//! inside of the runtime's), the owner rings for those that have something to write, and each goes on as far as it
//! can. Knows nothing of MQTT; a connection that panics ends alone.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use mio::{Events, Token};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::connection::{Connection, Progress};

/// Sockets that the system names at once.
const EVENTS: usize = 256;

/// The way to the switchboard. When it is dropped, the switchboard ends with its last connection.
#[derive(Debug)]
pub(super) struct Switchboard(Arc<Calls>);

/// What was said to the switchboard and not heard yet.
#[derive(Debug, Default)]
struct Calls(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// As many as there are connections, at most.
    #[expect(clippy::vec_box, reason = "they come in boxes, and go into their seats so")]
    newcomers: Vec<Box<Connection>>,
    /// Those whose bell was rung; the same may be there several times, once for each round of the owner.
    rung: Vec<usize>,
    waker: Option<Waker>,
    /// No newcomers will come any more.
    closed: bool,
    /// Nobody is there to serve them.
    gone: bool,
}

/// Has one connection looked at.
#[derive(Debug, Clone)]
pub(super) struct Bell {
    calls: Arc<Calls>,
    seat: usize,
}

/// The task.
#[derive(Debug)]
struct Operator {
    calls: Arc<Calls>,
    sockets: AsyncFd<mio::Poll>,
    events: Events,
    seats: Slab<Box<Connection>>,
    /// To be looked at in this turn.
    due: Vec<usize>,
    /// Those that could have gone on, and let others go first.
    again: Vec<usize>,
}

impl Switchboard {
    /// Starts it on this runtime.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(super) fn start(runtime: &Handle) -> io::Result<Switchboard> {
        let _on_its_thread = runtime.enter();
        let calls = Arc::<Calls>::default();
        #[expect(
            deprecated,
            reason = "the new way is unsafe, for types that lend another descriptor than they own"
        )]
        let sockets = AsyncFd::with_interest(mio::Poll::new()?, Interest::READABLE)?;
        let mut operator = Operator {
            calls: Arc::clone(&calls),
            sockets,
            events: Events::with_capacity(EVENTS),
            seats: Slab::new(),
            due: Vec::new(),
            again: Vec::new(),
        };
        runtime.spawn(poll_fn(move |context| operator.poll(context)));
        Ok(Switchboard(calls))
    }

    /// Gives a plain connection a seat.
    pub(super) fn seat(&self, connection: Box<Connection>) {
        self.0.say(|waiting| {
            if !waiting.gone {
                waiting.newcomers.push(connection);
            }
        });
    }
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        self.0.say(|waiting| waiting.closed = true);
    }
}

impl Bell {
    pub(super) fn ring(&self) {
        self.calls.say(|waiting| waiting.rung.push(self.seat));
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.ring();
    }
}

impl Calls {
    fn say(&self, what: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting();
        what(&mut waiting);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let mut waiting = self.calls.waiting();
        waiting.gone = true;
        let left = std::mem::take(&mut waiting.newcomers);
        drop(waiting);
        drop(left);
    }
}

impl Operator {
    /// One turn: everybody who has something to do gets to do it. Ready when there will be nobody any more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.due.append(&mut self.again);
        if let Err(error) = self.look_at_sockets(context) {
            tracing::error!("the system does not say which connections can be read: {error}");
            return Poll::Ready(());
        }
        let closed = self.hear_calls(context);
        let mut due = std::mem::take(&mut self.due);
        for seat in due.drain(..) {
            self.serve(seat);
        }
        self.due = due;
        if !self.again.is_empty() {
            context.waker().wake_by_ref();
        }
        if closed && self.seats.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn look_at_sockets(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(guard) = self.sockets.poll_read_ready_mut(context) {
            let mut guard = guard?;
            match guard.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let mut count = 0;
            for event in &self.events {
                count += 1;
                let Token(seat) = event.token();
                if let Some(connection) = self.seats.get_mut(seat) {
                    connection.note(event);
                    self.due.push(seat);
                }
            }
            if count >= EVENTS {
                // There may be more: in the next turn.
                context.waker().wake_by_ref();
                break;
            }
            guard.clear_ready();
        }
        Ok(())
    }

    /// Takes what was said; whether nobody will come any more.
    fn hear_calls(&mut self, context: &mut Context<'_>) -> bool {
        let mut waiting = self.calls.waiting();
        self.due.append(&mut waiting.rung);
        let newcomers = std::mem::take(&mut waiting.newcomers);
        if !waiting.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            waiting.waker = Some(context.waker().clone());
        }
        let closed = waiting.closed;
        drop(waiting);
        for connection in newcomers {
            self.admit(connection);
        }
        closed
    }

    fn admit(&mut self, mut connection: Box<Connection>) {
        let entry = self.seats.vacant_entry();
        let seat = entry.key();
        let bell = Bell { calls: Arc::clone(&self.calls), seat };
        match connection.take_seat(self.sockets.get_ref().registry(), Token(seat), bell) {
            Ok(()) => {
                entry.insert(connection);
                self.due.push(seat);
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be watched, and is closed"),
        }
    }

    fn serve(&mut self, seat: usize) {
        let Some(connection) = self.seats.get_mut(seat) else { return };
        // Few wait for anything that would wake them otherwise than by their bell.
        let waits = connection.needs_waker();
        let waker = if waits {
            Waker::from(Arc::new(Bell { calls: Arc::clone(&self.calls), seat }))
        } else {
            Waker::noop().clone()
        };
        let go_on = || connection.proceed(&mut Context::from_waker(&waker));
        match catch_unwind(AssertUnwindSafe(go_on)) {
            Ok(Progress::Waits) if waits || !connection.needs_waker() => {}
            Ok(Progress::Waits | Progress::GoesOn) => self.again.push(seat),
            Ok(Progress::Ended(end)) => {
                connection.note_end(&end);
                self.seats.remove(seat);
            }
            Err(_) => {
                tracing::error!("a connection is closed after a fault of the program, see the message above");
                self.seats.remove(seat);
            }
        }
    }
}
