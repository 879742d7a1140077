//! The thread that keeps the journal: takes everything that waits, commits it together, answers.
//!
//! The journal lies on a desk. The thread works at it, and when nobody does and the disk is quick, who has a single
//! record to commit may do it there and then ([`super::JournalClient::commit_here`]): waking the thread and being
//! woken by it takes as long as the disk of a small computer.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::timeout;

use super::client::{JournalHandle, Mailbox, Records, Reply, Request};
use super::counters::Counters;
use super::quickness::Quickness;
use crate::durable::{ConsumerId, JournalHealth};
use crate::journal::{Alarm, Disk, Event, Journal, Load, Writer};
use crate::limits::JOURNAL_REQUESTS;
use crate::time::{Instant, Moment};

/// The journal is looked after this often, which is also how often the thread shows that it is alive.
const TEND_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Is told what a person should see; called on the journal's thread, must not wait.
pub type Watch = Box<dyn FnMut(&Alarm) + Send>;

/// The running thread.
pub struct JournalThread {
    /// How to talk to it; clone it at will.
    pub handle: JournalHandle,
    /// Ends after [`JournalHandle::shutdown`], or when every handle and client is gone.
    pub thread: JoinHandle<()>,
}

/// Runs a journal on a thread of its own.
///
/// # Errors
/// When the thread cannot be started.
pub fn start<D>(journal: Journal<D>, clock: Clock, watch: Watch) -> io::Result<JournalThread>
where
    D: Disk + Send + 'static,
{
    let (requests, inbox) = mpsc::channel(JOURNAL_REQUESTS);
    let counters = Arc::new(Counters::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let desk = Desk {
        journal,
        clock,
        watch,
        counters: Arc::clone(&counters),
        clients: BTreeMap::new(),
        health: JournalHealth::default(),
        quickness: Quickness::default(),
        tended_at: None,
        unanswered: Vec::new(),
    };
    let place = Arc::new(Mutex::new(Some(desk)));
    let keeper = Keeper { place: Arc::clone(&place), inbox };
    let thread =
        std::thread::Builder::new().name("journal".into()).spawn(move || runtime.block_on(keeper.run()))?;
    Ok(JournalThread { handle: JournalHandle::new(requests, place, counters), thread })
}

/// Where who has one record to commit may do it. None: the thread has ended.
type Place<D> = Mutex<Option<Desk<D>>>;

/// A [`Place`], whatever the disk is.
pub(super) trait CommitHere: Send + Sync {
    /// Commits these records on the thread that asks, with everything else that waits.
    ///
    /// # Errors
    /// The records, when this is no moment for it: somebody works at the desk, the disk is slow, the journal wants
    /// tending, or `may` says no, which is asked when nobody works there.
    fn commit_here(&self, writer: Writer, records: Records, may: &dyn Fn() -> bool) -> Result<(), Records>;
}

impl<D: Disk + Send> CommitHere for Place<D> {
    fn commit_here(&self, writer: Writer, records: Records, may: &dyn Fn() -> bool) -> Result<(), Records> {
        let Ok(mut place) = self.try_lock() else { return Err(records) };
        let Some(desk) = &mut *place else { return Err(records) };
        let now = (desk.clock)();
        // What is to be tended to is the thread's: it makes room for the next commits behind this one.
        if !may() || !desk.quickness.is_quick(now.monotonic) || desk.journal.wants_tending(now) {
            return Err(records);
        }
        desk.append(now, writer, records);
        desk.commit(now);
        Ok(())
    }
}

/// The thread's own.
struct Keeper<D> {
    place: Arc<Place<D>>,
    inbox: mpsc::Receiver<Request>,
}

/// The journal, and everything that goes with it.
struct Desk<D> {
    journal: Journal<D>,
    clock: Clock,
    watch: Watch,
    counters: Arc<Counters>,
    clients: BTreeMap<Writer, Arc<Mailbox>>,
    health: JournalHealth,
    quickness: Quickness,
    tended_at: Option<Instant>,
    /// Loads that the disk did not answer; at most one for each consumer, as they come.
    unanswered: Vec<(Writer, Load)>,
}

enum Next {
    GoOn,
    Stop(Option<tokio::sync::oneshot::Sender<()>>),
}

impl<D: Disk> Keeper<D> {
    async fn run(mut self) {
        let answer = loop {
            let wait = self.at_desk(|desk, _| desk.look_after());
            // Requests are taken and served at the desk: who sits there and sees none knows that all were served.
            let served = poll_fn(|context| self.at_desk(|desk, inbox| desk.poll_serve(inbox, context)));
            if let Next::Stop(answer) = timeout(wait, served).await.unwrap_or(Next::GoOn) {
                break answer;
            }
        };
        self.at_desk(|desk, _| desk.finish());
        // The folder's lock is free when the answer comes.
        drop(self.place.lock().map(|mut place| place.take()));
        if let Some(answer) = answer {
            let _ = answer.send(());
        }
    }

    fn at_desk<T>(&mut self, work: impl FnOnce(&mut Desk<D>, &mut mpsc::Receiver<Request>) -> T) -> T {
        let mut place =
            self.place.lock().unwrap_or_else(|_| unreachable!("who panics there ends the gateway"));
        let Some(desk) = &mut *place else { unreachable!("it is taken away at the end") };
        work(desk, &mut self.inbox)
    }
}

impl<D: Disk> Desk<D> {
    /// Does what is due now; how long until the next is.
    fn look_after(&mut self) -> Duration {
        let now = (self.clock)();
        self.counters.alive(now.monotonic.as_nanos());
        self.commit_if_due(now);
        self.tend_if_due(now);
        self.tell_news();
        self.deadline().since((self.clock)().monotonic)
    }

    /// Waits for a request, then takes whatever else is there, up to one commit's worth.
    fn poll_serve(&mut self, inbox: &mut mpsc::Receiver<Request>, context: &mut Context<'_>) -> Poll<Next> {
        let Some(mut request) = ready!(inbox.poll_recv(context)) else {
            return Poll::Ready(Next::Stop(None));
        };
        loop {
            if let Next::Stop(answer) = self.serve(request) {
                return Poll::Ready(Next::Stop(answer));
            }
            if self.journal.commit_is_large() {
                return Poll::Ready(Next::GoOn);
            }
            request = match inbox.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Empty) => return Poll::Ready(Next::GoOn),
                Err(TryRecvError::Disconnected) => return Poll::Ready(Next::Stop(None)),
            };
        }
    }

    fn finish(&mut self) {
        self.commit((self.clock)());
        for client in self.clients.values() {
            client.close();
        }
    }

    fn deadline(&self) -> Instant {
        let tend = self.tend_due();
        self.journal.next_commit().map_or(tend, |commit| commit.min(tend))
    }

    fn append(&mut self, now: Moment, writer: Writer, records: Records) {
        for (ticket, urgency, record) in records {
            self.journal.append(now, writer, ticket, urgency, record);
        }
    }

    fn serve(&mut self, request: Request) -> Next {
        match request {
            Request::Register { writer, mailbox, is_eager } => {
                self.journal.set_eager(ConsumerId(writer.0), is_eager);
                mailbox.put(Reply::Health(self.health));
                if let Some(earlier) = self.clients.insert(writer, mailbox) {
                    earlier.close();
                }
            }
            Request::Append { writer, records } => {
                let now = (self.clock)();
                self.append(now, writer, records);
            }
            Request::Load { writer, load } => self.load(writer, load),
            Request::Quota(quota) => self.journal.set_quota(quota),
            Request::Status { answer } => {
                let _ = answer.send(self.journal.status());
            }
            Request::Shutdown { answer } => return Next::Stop(Some(answer)),
        }
        Next::GoOn
    }

    fn load(&mut self, writer: Writer, load: Load) {
        let loaded = self.journal.load(&load);
        if self.journal.can_read() {
            self.tell(writer, Reply::Loaded(loaded));
        } else {
            self.unanswered.push((writer, load));
        }
    }

    fn commit_if_due(&mut self, now: Moment) {
        if self.journal.next_commit().is_some_and(|due| due <= now.monotonic) {
            self.commit(now);
        }
    }

    fn commit(&mut self, now: Moment) {
        self.tell_news();
        let events = self.journal.commit(now);
        let took = (self.clock)().monotonic.since(now.monotonic);
        if events.iter().any(|event| matches!(event, Event::Committed { .. })) {
            self.counters.committed(took);
            self.quickness.committed(now.monotonic, took);
        }
        self.publish(events);
    }

    /// What needs no commit to be told.
    fn tell_news(&mut self) {
        let news = self.journal.news();
        if !news.is_empty() {
            self.publish(news);
        }
    }

    fn tend_if_due(&mut self, now: Moment) {
        if self.tend_due() <= now.monotonic || self.journal.wants_tending(now) {
            self.tended_at = Some(now.monotonic);
            for (writer, load) in std::mem::take(&mut self.unanswered) {
                self.load(writer, load);
            }
            let events = self.journal.tend(now);
            self.publish(events);
        }
    }

    fn tend_due(&self) -> Instant {
        self.tended_at.map_or(Instant::ZERO, |at| at + TEND_INTERVAL)
    }

    fn publish(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Committed { writer, ticket } => self.tell(writer, Reply::Committed { ticket }),
                Event::Available { consumer, through } => {
                    self.tell(Writer::uplink(consumer), Reply::Available { consumer, through });
                }
                Event::Dropped { consumer, count, reason } => {
                    self.counters.add_dropped(reason, count);
                    let uplink = Writer::uplink(consumer);
                    let to = if self.clients.contains_key(&uplink) { uplink } else { Writer::BROKER };
                    self.tell(to, Reply::Dropped { consumer, count, reason });
                }
                Event::Health(health) => {
                    self.health = health;
                    for client in self.clients.values() {
                        client.put(Reply::Health(health));
                    }
                }
                Event::Alarm(alarm) => (self.watch)(&alarm),
            }
        }
        self.counters.set_sizes(self.journal.sizes());
    }

    fn tell(&self, writer: Writer, reply: Reply) {
        if let Some(client) = self.clients.get(&writer) {
            client.put(reply);
        }
    }
}
