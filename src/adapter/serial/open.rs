//! Opens a serial port, and says what to do when it cannot be opened.

use std::io;
use std::path::Path;

use tokio_serial::{DataBits, ErrorKind, SerialPortBuilderExt, SerialStream, StopBits};

use crate::device::{Parity, SerialSettings};

/// Opens a port for this process alone.
///
/// The error is a sentence for a person. Opening may block for as long as a driver likes: it has a thread of its
/// own.
pub(super) async fn open(path: &Path, settings: SerialSettings) -> Result<SerialStream, String> {
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_now(&owned, settings)).await;
    opened.map_err(|_| "opening the port panicked".to_owned())?.map_err(|error| help(path, &error))
}

fn open_now(path: &Path, settings: SerialSettings) -> tokio_serial::Result<SerialStream> {
    let format = settings.format;
    tokio_serial::new(path.to_string_lossy(), settings.baud)
        .data_bits(match format.data_bits {
            5 => DataBits::Five,
            6 => DataBits::Six,
            7 => DataBits::Seven,
            _ => DataBits::Eight,
        })
        .parity(match format.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(if format.stop_bits == 2 { StopBits::Two } else { StopBits::One })
        .open_native_async()
}

/// What is wrong, and what to do.
fn help(path: &Path, error: &tokio_serial::Error) -> String {
    let port = path.display();
    match error.kind() {
        ErrorKind::Io(io::ErrorKind::NotFound) => {
            format!("{port} is not there: is it plugged in? `tidegate scan` shows the ports that are")
        }
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            format!("{port} may not be opened: {}", permission(path))
        }
        ErrorKind::NoDevice => format!(
            "{port} is used by another program: `fuser -v {port}` shows which (often ModemManager, a login \
             console, or a gateway that runs already)"
        ),
        _ if std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() || metadata.is_dir()) => {
            format!("{port} is no serial port")
        }
        _ => format!("{port} cannot be opened: {error}"),
    }
}

fn permission(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let group = std::fs::metadata(path).ok().and_then(|metadata| group_name(metadata.gid()));
    match group {
        Some(group) if group != "root" => format!(
            "it belongs to group {group}; `sudo usermod -aG {group} $USER`, then log in again, lets you in"
        ),
        _ => "see hardware/udev/README.md for who may open ports".to_owned(),
    }
}

fn group_name(gid: u32) -> Option<String> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> tokio_serial::Error {
        tokio_serial::Error::new(kind, "the system's own words")
    }

    #[test]
    fn each_way_to_fail_says_what_to_do() {
        let help = |path: &str, kind| help(Path::new(path), &error(kind));
        let missing = help("/dev/no-such-port", ErrorKind::Io(io::ErrorKind::NotFound));
        assert!(missing.contains("is it plugged in? `tidegate scan`"), "{missing}");
        let busy = help("/dev/no-such-port", ErrorKind::NoDevice);
        assert!(busy.contains("used by another program: `fuser -v /dev/no-such-port`"), "{busy}");
        let refused = help("/etc/passwd", ErrorKind::Io(io::ErrorKind::PermissionDenied));
        assert!(refused.contains("/etc/passwd may not be opened: "), "{refused}");
        assert!(help("/etc/passwd", ErrorKind::Unknown).contains("is no serial port"));
        assert!(
            help("/dev/no-such-port", ErrorKind::Unknown)
                .contains("cannot be opened: the system's own words")
        );
    }

    #[test]
    fn a_group_is_found_by_its_number() {
        assert_eq!(group_name(0).as_deref(), Some("root"));
        assert_eq!(group_name(4_000_000_000), None);
    }
}
