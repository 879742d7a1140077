//! The thread that owns the journal: takes everything that waits, commits it together, answers.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::timeout;

use super::client::{JournalHandle, Mailbox, Reply, Request};
use super::counters::Counters;
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
    let owner = Owner {
        journal,
        inbox,
        clock,
        watch,
        counters: Arc::clone(&counters),
        clients: BTreeMap::new(),
        health: JournalHealth::default(),
        tended_at: None,
        unanswered: Vec::new(),
    };
    let thread =
        std::thread::Builder::new().name("journal".into()).spawn(move || runtime.block_on(owner.run()))?;
    Ok(JournalThread { handle: JournalHandle::new(requests, counters), thread })
}

struct Owner<D> {
    journal: Journal<D>,
    inbox: mpsc::Receiver<Request>,
    clock: Clock,
    watch: Watch,
    counters: Arc<Counters>,
    clients: BTreeMap<Writer, Arc<Mailbox>>,
    health: JournalHealth,
    tended_at: Option<Instant>,
    /// Loads that the disk did not answer; at most one for each consumer, as they come.
    unanswered: Vec<(Writer, Load)>,
}

enum Next {
    GoOn,
    Stop(Option<tokio::sync::oneshot::Sender<()>>),
}

impl<D: Disk> Owner<D> {
    async fn run(mut self) {
        let answer = loop {
            let now = (self.clock)();
            self.counters.alive(now.monotonic.as_nanos());
            self.commit_if_due(now);
            self.tend_if_due(now);
            self.tell_news();
            if let Next::Stop(answer) = self.take_requests().await {
                break answer;
            }
        };
        self.commit((self.clock)());
        for client in self.clients.values() {
            client.close();
        }
        // The folder's lock is free when the answer comes.
        drop(self);
        if let Some(answer) = answer {
            let _ = answer.send(());
        }
    }

    /// Waits for a request or a deadline, then takes whatever else is there, up to one commit's worth.
    async fn take_requests(&mut self) -> Next {
        let wait = self.deadline().since((self.clock)().monotonic);
        let mut request = match timeout(wait, self.inbox.recv()).await {
            Ok(Some(request)) => request,
            Ok(None) => return Next::Stop(None),
            Err(_) => return Next::GoOn,
        };
        loop {
            if let Next::Stop(answer) = self.serve(request) {
                return Next::Stop(answer);
            }
            if self.journal.commit_is_large() {
                return Next::GoOn;
            }
            request = match self.inbox.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Empty) => return Next::GoOn,
                Err(TryRecvError::Disconnected) => return Next::Stop(None),
            };
        }
    }

    fn deadline(&self) -> Instant {
        let tend = self.tend_due();
        self.journal.next_commit().map_or(tend, |commit| commit.min(tend))
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
                for (ticket, urgency, record) in records {
                    self.journal.append(now, writer, ticket, urgency, record);
                }
            }
            Request::Load { writer, load } => self.load(writer, load),
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
        let events = self.journal.commit(now);
        let took = (self.clock)().monotonic.since(now.monotonic);
        if events.iter().any(|event| matches!(event, Event::Committed { .. })) {
            self.counters.committed(took);
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
