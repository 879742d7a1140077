//! The status over HTTP: a page for people, `/health` and `/ready` for supervisors, `/metrics` for Prometheus,
//! `/api/status` for programs.
//!
//! Reads nothing but the request line and headers, changes nothing, shows no secret. Every page is written from one
//! [`Snapshot`], which it asks for over a bounded channel; whoever asks too often waits.

mod pages;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use self::pages::Refusal;
use super::Snapshot;

/// Connections at a time; further ones wait in the listener's backlog.
const CONNECTIONS: usize = 32;
/// Whoever has not sent a whole request head within this is gone.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// A connection lives no longer; a page that is looked at opens another.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// A gateway that gives no snapshot within this is not well.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(5);
/// Requests that wait for a snapshot.
const WAITING: usize = 8;

/// The open listener, and the requests for snapshots that come in over it. Closed when dropped.
#[derive(Debug)]
pub struct Dashboard {
    address: SocketAddr,
    questions: mpsc::Receiver<Question>,
    task: tokio::task::JoinHandle<()>,
}

/// Somebody wants a snapshot.
#[derive(Debug)]
pub struct Question(oneshot::Sender<Snapshot>);

impl Question {
    /// Gives it; nothing happens when nobody waits any more.
    pub fn answer(self, snapshot: Snapshot) {
        let _ = self.0.send(snapshot);
    }
}

impl Dashboard {
    /// Listens.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn open(address: SocketAddr) -> io::Result<Dashboard> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (ask, questions) = mpsc::channel(WAITING);
        let local_only = address.ip().is_loopback();
        let task = tokio::spawn(accept(listener, Asker { ask, local_only }));
        Ok(Dashboard { address, questions, task })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until somebody wants a snapshot; may be interrupted.
    pub async fn asked(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            // The task never ends by itself.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a connection gets its snapshots.
#[derive(Debug, Clone)]
struct Asker {
    ask: mpsc::Sender<Question>,
    /// Whether only this machine can come here.
    local_only: bool,
}

impl Asker {
    /// `None` when the gateway does not answer in time.
    async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, snapshot) = oneshot::channel();
        let answered = async {
            self.ask.send(Question(answer)).await.ok()?;
            snapshot.await.ok()
        };
        timeout(SNAPSHOT_PATIENCE, answered).await.ok().flatten()
    }
}

async fn accept(listener: TcpListener, asker: Asker) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let asker = asker.clone();
                tokio::spawn(async move {
                    // Whether it ended well or in time is its peer's business.
                    let _ = timeout(CONNECTION_LIFE, converse(stream, asker)).await;
                    drop(seat);
                });
            }
            // Too many open files: later.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn converse(stream: TcpStream, asker: Asker) -> hyper::Result<()> {
    let service = service_fn(|request| {
        let asker = asker.clone();
        async move { Ok::<_, Infallible>(respond(request, &asker).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Takes any body type, so that tests need no connection: a body is never read.
async fn respond<B>(request: Request<B>, asker: &Asker) -> Response<Full<Bytes>> {
    match pages::route(&request, asker.local_only) {
        Ok(page) if page.needs_snapshot() => match asker.snapshot().await {
            Some(snapshot) => page.write(&snapshot),
            None => Refusal::Silence.write(),
        },
        Ok(page) => page.write(&Snapshot::default()),
        Err(refusal) => refusal.write(),
    }
}
