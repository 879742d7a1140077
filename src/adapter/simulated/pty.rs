//! A pseudo-terminal that plays a serial port. Its far end behaves like a device's cable: closing it unplugs.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The device's end of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    end: AsyncFd<OwnedFd>,
    /// Held open so that the device's end does not break while nobody listens.
    _port: OwnedFd,
    path: PathBuf,
    link: Option<PathBuf>,
}

impl Pty {
    /// A new one, in raw mode.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn open() -> io::Result<Pty> {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&end)?;
        unlockpt(&end)?;
        let path = PathBuf::from(OsStr::from_bytes(ptsname(&end, Vec::new())?.to_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let port = rustix::fs::open(&path, flags, Mode::empty())?;
        let mut settings = tcgetattr(&port)?;
        settings.make_raw();
        tcsetattr(&port, OptionalActions::Now, &settings)?;
        rustix::io::ioctl_fionbio(&end, true)?;
        #[expect(
            deprecated,
            reason = "the new way is unsafe, for types that lend another descriptor than they own"
        )]
        let end = AsyncFd::new(end)?;
        Ok(Pty { end, _port: port, path, link: None })
    }

    /// The port's own name, `/dev/pts/7`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the port a name that stays, as udev does; it goes with this end.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn link(&mut self, link: &Path) -> io::Result<()> {
        let mut temporary = link.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(&self.path, &temporary)?;
        std::fs::rename(&temporary, link)?;
        self.link = Some(link.to_owned());
        Ok(())
    }

    /// The settings of the line as whoever opened the port made them.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn settings(&self) -> io::Result<Termios> {
        Ok(tcgetattr(self.end.get_ref())?)
    }

    /// Writes all of `bytes`, waiting for room.
    ///
    /// # Errors
    /// When the port broke.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written =
                self.end.async_io(Interest::WRITABLE, |end| Ok(rustix::io::write(end, rest)?)).await?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits for bytes and appends them.
    ///
    /// # Errors
    /// When the port broke.
    pub async fn read(&self, to: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = [0; 256];
        let count = self
            .end
            .async_io(Interest::READABLE, |end| Ok(rustix::io::read(end, buffer.as_mut_slice())?))
            .await?;
        to.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if let Some(link) = &self.link
            && std::fs::read_link(link).is_ok_and(|target| target == self.path)
        {
            // A link to nowhere is no worse than none.
            let _ = std::fs::remove_file(link);
        }
    }
}
