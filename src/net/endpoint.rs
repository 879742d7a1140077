//! Where a listener listens, and the socket there: opened by us, or handed over by systemd.
//!
//! Never reads from a connection.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::inherited::{self, Inherited};
use crate::stream::Socket;

/// Connections that the system holds until they are accepted.
const ACCEPT_QUEUE: i32 = 1024;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port; 0: the system chooses.
    Tcp(SocketAddr),
    /// A Unix socket, and who may connect to it: the mode of the file.
    Unix {
        /// The file.
        path: PathBuf,
        /// For example `0o660`.
        mode: u32,
    },
    /// A socket that systemd opened (`LISTEN_FDS`): the one with this name, or the only one.
    Systemd(Option<String>),
}

impl ListenAddress {
    /// Whether nobody from outside of this machine can come this way, as far as the address alone can tell.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddress::Tcp(address) => address.ip().is_loopback(),
            ListenAddress::Unix { .. } => true,
            ListenAddress::Systemd(_) => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(formatter),
            ListenAddress::Unix { path, .. } => write!(formatter, "unix:{}", path.display()),
            ListenAddress::Systemd(None) => formatter.write_str("systemd"),
            ListenAddress::Systemd(Some(name)) => write!(formatter, "systemd:{name}"),
        }
    }
}

/// Where an open listener really listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// With the port that the system chose.
    Tcp(SocketAddr),
    /// A Unix socket; without a path it is one of systemd's.
    Unix(Option<PathBuf>),
}

impl Bound {
    /// Address and port, if it is TCP.
    #[must_use]
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Bound::Tcp(address) => Some(*address),
            Bound::Unix(_) => None,
        }
    }

    pub(super) fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().is_loopback())
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Tcp(address) => address.fmt(formatter),
            Bound::Unix(Some(path)) => write!(formatter, "unix:{}", path.display()),
            Bound::Unix(None) => formatter.write_str("a Unix socket"),
        }
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(super) enum Endpoint {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removed with it, if it is ours.
        file: Option<SocketFile>,
    },
}

/// The file of a Unix socket that we made.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Endpoint {
    pub(super) fn open(address: &ListenAddress) -> io::Result<Endpoint> {
        match address {
            ListenAddress::Tcp(address) => open_tcp(*address).map(Endpoint::Tcp),
            ListenAddress::Unix { path, mode } => open_unix(path, *mode),
            ListenAddress::Systemd(name) => match inherited::take(name.as_deref())? {
                Inherited::Tcp(listener) => {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener).map(Endpoint::Tcp)
                }
                Inherited::Unix(listener) => {
                    listener.set_nonblocking(true)?;
                    Ok(Endpoint::Unix { listener: UnixListener::from_std(listener)?, file: None })
                }
            },
        }
    }

    pub(super) fn bound(&self) -> io::Result<Bound> {
        match self {
            Endpoint::Tcp(listener) => listener.local_addr().map(Bound::Tcp),
            Endpoint::Unix { listener, file } => {
                let own = file.as_ref().map(|file| file.0.clone());
                let path = match own {
                    Some(path) => Some(path),
                    None => listener.local_addr()?.as_pathname().map(Path::to_owned),
                };
                Ok(Bound::Unix(path))
            }
        }
    }

    /// The next connection, and where it comes from if that is an address.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Endpoint::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((stream.into(), Some(address)))
            }
            Endpoint::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), None))
            }
        }
    }
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    TcpListener::from_std(socket.into())
}

fn open_unix(path: &Path, mode: u32) -> io::Result<Endpoint> {
    remove_stale(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Before it listens: nobody slips in while the mode is still the default.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(ACCEPT_QUEUE)?;
    let listener = UnixListener::from_std(socket.into())?;
    Ok(Endpoint::Unix { listener, file: Some(file) })
}

/// Removes the socket of a run that did not end in order. Anything else at that path is not ours to remove.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in the way"));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}
