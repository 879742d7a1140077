//! How a connection to the server is opened: over which of its addresses, with which login.
//!
//! Never retries: when to try again is the forwarder's business. Which server of several comes next is decided here.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::limits::UPLINK_RETURN_AFTER;
use crate::stream::{Route, Url};

/// After so many vain returns the pauses before the next do not grow any more.
const RETURNS_COUNTED: u32 = 6;

/// Bytes both ways, in order.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream to a server that waits for CONNECT.
pub struct Opened {
    /// The way to it.
    pub stream: Box<dyn Stream>,
    /// Whether it is not the server that knows our session: what another server may have kept from long ago must not
    /// be taken for it.
    pub is_another: bool,
    /// As whom to log in; `None`: as the options say.
    pub login: Option<Login>,
    /// Which server it is, as a person wrote it.
    pub server: Arc<str>,
}

impl<S: Stream + 'static> From<S> for Opened {
    fn from(stream: S) -> Opened {
        Opened { stream: Box::new(stream), is_another: false, login: None, server: "".into() }
    }
}

/// User name and password, each if there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User name
    pub username: Option<ByteString>,
    /// Password
    pub password: Option<Bytes>,
}

/// Never shows the password.
impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Gives the login, anew for each connection: its file may have changed, or it may be made for an hour. May read
/// files. The error is for a person to read.
pub type Credentials = Arc<dyn Fn() -> Result<Login, String> + Send + Sync>;

/// A connection that is being opened; the error is for a person to read.
pub type Opening = Pin<Box<dyn Future<Output = Result<Opened, String>> + Send>>;

/// Ends when a server is there that is to be preferred to the one in use.
pub type Better = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Opens connections to one server, or to several that stand in for each other.
pub trait Connector: Send + 'static {
    /// Tries once. Dropping the future ends the attempt.
    fn open(&self) -> Opening;

    /// The stream that was opened last led to no session: the server that comes next is another, if there is one.
    fn refused(&self) {}

    /// The stream that was opened last led to a session: waits for a better server than that. For ever, where there
    /// is none.
    fn accepted(&self) -> Better {
        Box::pin(std::future::pending())
    }
}

/// Opens connections over networks.
#[derive(Clone)]
pub struct ServerConnector {
    /// The server, or several of which one is used at a time.
    pub urls: Arc<[Url]>,
    /// What lies on the way.
    pub route: Route,
    /// As whom to log in.
    pub credentials: Option<Credentials>,
    /// Where to note which server has our session, so that it is known after a restart.
    pub note: Option<PathBuf>,
    /// Which of `urls` is next.
    pub next: Arc<AtomicUsize>,
    /// While another than the first of `urls` is used: how often to look whether that is there again. Longer after a
    /// return in vain.
    pub return_after: Duration,
    /// Returns to the first server that did not last.
    pub vain_returns: Arc<AtomicU32>,
}

impl Connector for ServerConnector {
    fn open(&self) -> Opening {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await })
    }

    fn refused(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }

    fn accepted(&self) -> Better {
        let connector = self.clone();
        Box::pin(async move { connector.wait_for_first().await })
    }
}

impl ServerConnector {
    /// Logs in as the options say, and notes nothing.
    #[must_use]
    pub fn new(urls: Vec<Url>, route: Route) -> ServerConnector {
        ServerConnector {
            urls: urls.into(),
            route,
            credentials: None,
            note: None,
            next: Arc::default(),
            return_after: UPLINK_RETURN_AFTER,
            vain_returns: Arc::default(),
        }
    }

    /// Waits until the first server can be reached, if it is not the one in use; the next connection is to it.
    async fn wait_for_first(&self) {
        let count = self.urls.len();
        if count < 2 || self.next.load(Ordering::Relaxed).is_multiple_of(count) {
            self.vain_returns.store(0, Ordering::Relaxed);
            return std::future::pending().await;
        }
        let vain = self.vain_returns.load(Ordering::Relaxed).min(RETURNS_COUNTED);
        loop {
            sleep(self.return_after.saturating_mul(1 << vain)).await;
            let Some(first) = self.urls.first() else { continue };
            if self.route.open(first).await.is_ok() {
                self.next.store(0, Ordering::Relaxed);
                self.vain_returns.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// The first server that can be reached, beginning with the one that was used last.
    async fn connect(&self) -> Result<Opened, String> {
        let login = match self.credentials.clone() {
            None => None,
            Some(credentials) => match spawn_blocking(move || credentials()).await {
                Ok(login) => Some(login?),
                Err(_) => return Err("reading the login broke down".to_owned()),
            },
        };
        let first = self.next.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for at in (first..).take(self.urls.len()) {
            let Some(url) = self.urls.get(at % self.urls.len()) else { break };
            // Whoever gives up waiting for this one goes on with the next.
            self.next.store(at + 1, Ordering::Relaxed);
            match self.route.open(url).await {
                Ok(stream) => {
                    self.next.store(at, Ordering::Relaxed);
                    let is_another = self.note_server(url).await;
                    let server = url.to_string().into();
                    return Ok(Opened { stream: Box::new(stream), is_another, login, server });
                }
                Err(words) if self.urls.len() == 1 => failures.push(words),
                Err(words) => failures.push(format!("{url}: {words}")),
            }
        }
        Err(failures.join("; "))
    }

    /// Notes whom we talk to, ahead of CONNECT; whether it was another before.
    async fn note_server(&self, url: &Url) -> bool {
        let Some(path) = self.note.clone() else { return false };
        let server = url.to_string();
        let noted = spawn_blocking(move || note(&path, &server)).await;
        noted.unwrap_or(true)
    }
}

/// Whether another name was noted before. The first name is not another: a session of ours can only be there.
fn note(path: &Path, server: &str) -> bool {
    let before = fs::read_to_string(path).ok();
    if before.as_deref().map(str::trim_end) == Some(server) {
        return false;
    }
    let fresh = path.with_extension("new");
    let written = fs::write(&fresh, format!("{server}\n")).and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = written {
        tracing::warn!("cannot note which server has the session: {}: {error}", path.display());
    }
    before.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_is_noticed_and_stays_noticed_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cloud.server");
        assert!(!note(&path, "mqtt://a"), "nothing was there before");
        assert!(!note(&path, "mqtt://a"));
        assert!(note(&path, "mqtt://b"));
        assert!(!note(&path, "mqtt://b"));
    }

    #[test]
    fn a_login_is_not_shown() {
        let login = Login { username: Some("gw".into()), password: Some("hunter2".into()) };
        assert!(!format!("{login:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn the_next_server_is_tried_in_the_same_attempt_and_kept() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let there = listener.local_addr().unwrap();
        let urls = [free, there].map(|address| Url::parse(&format!("mqtt://{address}")).unwrap());
        let mut connector = ServerConnector::new(urls.to_vec(), Route::default());
        connector.credentials = Some(Arc::new(|| Ok(Login { username: Some("gw".into()), password: None })));
        let opened = connector.open().await.map_err(|words| panic!("{words}")).unwrap();
        assert_eq!(opened.login.unwrap().username.as_deref(), Some("gw"));
        assert_eq!(connector.next.load(Ordering::Relaxed), 1, "the one that works comes first");
        connector.refused();
        drop(listener);
        let words = connector.open().await.err().unwrap();
        assert!(words.contains(&free.to_string()) && words.contains(&there.to_string()), "{words}");
    }
}
