//! One open port: reads it, asks the sensor what it must be asked, and notices when it is gone.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use tokio_serial::SerialStream;

use super::Port;
use crate::device::{Found, Listener, PollAction, PollPlan, ProblemKind};
use crate::reading::Reading;
use crate::time::Instant;

/// Bytes read at once: what a port brings at 921600 baud in some 40 ms.
const READ_BYTES: usize = 4096;
/// A request of some bytes that is not written by then is written to nobody.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);
/// How soon a full inbox is tried again.
const FLUSH_AGAIN: Duration = Duration::from_millis(200);

/// Why a port is not open any more.
#[derive(Debug)]
pub(super) struct Lost {
    why: io::Error,
    /// Whether anything was heard while it was.
    pub(super) heard: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "port lost: {}", self.why)
    }
}

/// What happens first.
enum Next {
    Read(io::Result<usize>),
    Timeout,
}

impl Port {
    /// Listens until the port is gone.
    pub(super) async fn session(&mut self, stream: SerialStream) -> Lost {
        let now = self.clock.monotonic();
        let mut session = Session {
            stream,
            listener: Listener::new(Arc::clone(&self.sensor.profile)),
            polls: PollPlan::new(&self.sensor.profile.polls, now),
            last_byte: now,
            heard: 0,
            frames: 0,
        };
        self.presence.listening(now);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let deadline = self.next_timeout(&session);
            let patience = deadline.map(|deadline| deadline.since(self.clock.monotonic()));
            let next = tokio::select! {
                read = session.stream.read(&mut buffer) => Next::Read(read),
                () = wait(patience) => Next::Timeout,
            };
            let outcome = match next {
                // An adapter that is pulled out and a peer that closed both read as nothing.
                Next::Read(Ok(0)) => Err(io::Error::other("unplugged")),
                Next::Read(Ok(count)) => {
                    self.take(&mut session, buffer.get(..count).unwrap_or_default());
                    Ok(())
                }
                Next::Read(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Next::Read(Err(error)) => Err(error),
                Next::Timeout => self.timeout(&mut session).await,
            };
            self.sink.flush();
            if let Err(why) = outcome {
                return Lost { why, heard: session.heard > 0 };
            }
        }
    }

    /// When something is due though nothing is read.
    fn next_timeout(&self, session: &Session) -> Option<Instant> {
        let gap = session.listener.gap().map(|gap| session.last_byte + gap);
        let flush = self.sink.is_waiting().then(|| self.clock.monotonic() + FLUSH_AGAIN);
        [gap, flush, session.polls.next_timeout(), self.presence.next_timeout()].into_iter().flatten().min()
    }

    /// Takes bytes that came.
    fn take(&mut self, session: &mut Session, bytes: &[u8]) {
        session.last_byte = self.clock.monotonic();
        session.heard += bytes.len();
        self.sink.counters().heard(bytes.len());
        self.interpret(session, |listener, found| listener.push(bytes, found));
    }

    /// Whatever is due.
    async fn timeout(&mut self, session: &mut Session) -> io::Result<()> {
        let now = self.clock.monotonic();
        if session.listener.gap().is_some_and(|gap| now >= session.last_byte + gap) {
            self.interpret(session, Listener::silence);
        }
        let gone = self.presence.timeout(now);
        if gone.is_some() {
            tracing::warn!(sensor = %self.sensor.name, "{}", session.silence(self));
            self.announce(gone);
        }
        match session.polls.timeout(now) {
            Some(PollAction::Send(request)) => {
                let written = timeout(WRITE_DEADLINE, session.stream.write_all(&request)).await;
                written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            Some(PollAction::NoAnswer) => {
                self.sink.counters().problem(ProblemKind::NoAnswer);
                // Half an answer is none, and must not become the beginning of the next.
                self.interpret(session, Listener::silence);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Passes on what the listener finds.
    fn interpret(&mut self, session: &mut Session, hear: impl FnOnce(&mut Listener, &mut dyn FnMut(Found))) {
        let taken_at = self.clock.now();
        let Port { sensor, sink, .. } = self;
        let mut frames = 0;
        hear(&mut session.listener, &mut |found| match found {
            Ok(measurements) => {
                frames += 1;
                let sensor_name = sensor.name.clone();
                let reading = Reading { sensor: sensor_name, taken_at, rssi: None, measurements };
                sink.reading(sensor.topics.state_of(reading));
            }
            Err(problem) => {
                tracing::debug!(sensor = %sensor.name, kind = problem.kind.label(), "{problem}");
                sink.counters().problem(problem.kind);
            }
        });
        if frames > 0 {
            session.frames += frames;
            session.polls.answered();
            let change = self.presence.heard(taken_at.monotonic);
            if change.is_some() {
                tracing::info!(sensor = %self.sensor.name, "sensor online");
            }
            self.announce(change);
        }
    }
}

/// What is known of an open port.
struct Session {
    stream: SerialStream,
    listener: Listener,
    polls: PollPlan,
    last_byte: Instant,
    heard: usize,
    frames: u64,
}

impl Session {
    /// Why nothing came, as far as one can tell.
    fn silence(&self, port: &Port) -> String {
        let profile = &port.sensor.profile.id;
        match (self.heard, self.frames) {
            (0, 0) => "sensor offline: nothing is heard from it; is it wired and powered?".to_owned(),
            (heard, 0) => format!(
                "sensor offline: {heard} bytes came, and no frame among them; is it a {profile} that speaks at {}?",
                port.settings()
            ),
            _ => "sensor offline: silent for three of its longest intervals".to_owned(),
        }
    }
}

async fn wait(patience: Option<Duration>) {
    match patience {
        Some(patience) => sleep(patience).await,
        None => std::future::pending().await,
    }
}
