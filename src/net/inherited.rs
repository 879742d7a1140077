//! Sockets that systemd opened for us and handed over (`LISTEN_FDS`, `LISTEN_FDNAMES`; sd_listen_fds(3)).
//!
//! Kept open as long as the program runs: a listener that is closed and opened again finds its socket here.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::OnceLock;

use listenfd::ListenFd;

/// Sockets that are handed over at most.
const SOCKETS: usize = 64;

/// A socket that somebody else opened.
#[derive(Debug)]
pub(super) enum Inherited {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Inherited {
    fn duplicate(&self) -> io::Result<Inherited> {
        match self {
            Inherited::Tcp(listener) => listener.try_clone().map(Inherited::Tcp),
            Inherited::Unix(listener) => listener.try_clone().map(Inherited::Unix),
        }
    }
}

static SOCKETS_BY_NAME: OnceLock<Vec<(String, Inherited)>> = OnceLock::new();

/// Takes over what was handed to this process. To be called before there are threads: it changes the environment,
/// so that programs that we start do not believe that the sockets are theirs.
pub fn adopt_inherited_sockets() {
    SOCKETS_BY_NAME.get_or_init(adopt);
}

fn adopt() -> Vec<(String, Inherited)> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed_over = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..handed_over.len().min(SOCKETS) {
        let name = names.next().unwrap_or_default().to_owned();
        if let Ok(Some(listener)) = handed_over.take_tcp_listener(at) {
            sockets.push((name, Inherited::Tcp(listener)));
        } else if let Ok(Some(listener)) = handed_over.take_unix_listener(at) {
            sockets.push((name, Inherited::Unix(listener)));
        } else {
            tracing::warn!("systemd handed over something that is no listening stream socket: {name:?}");
        }
    }
    sockets
}

/// The socket of this name, which is that of the unit or its `FileDescriptorName=`; without a name, the only one.
pub(super) fn take(name: Option<&str>) -> io::Result<Inherited> {
    let sockets = SOCKETS_BY_NAME.get_or_init(adopt);
    let wrong = |message: String| Err(io::Error::new(io::ErrorKind::NotFound, message));
    let names = || sockets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, sockets.as_slice()) {
        (_, []) => wrong("systemd handed no socket over: is the .socket unit started?".to_owned()),
        (None, [(_, only)]) => only.duplicate(),
        (None, _) => wrong(format!(
            "systemd handed several sockets over; say which, as in \"systemd:NAME\": {}",
            names()
        )),
        (Some(name), sockets) => match sockets.iter().find(|(other, _)| other == name) {
            Some((_, socket)) => socket.duplicate(),
            None => wrong(format!("systemd handed no socket {name:?} over, but {}", names())),
        },
    }
}
