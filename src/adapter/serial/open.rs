//! Opens a serial port, and says what to do when it cannot be opened.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_serial::{
    DataBits, ErrorKind, FlowControl, SerialPort as _, SerialPortBuilderExt, SerialStream, StopBits,
};

use super::PortAddress;
use super::mbap::Mbap;
use super::telnet::Telnet;
use super::wire::{Translation, Wire};
use crate::device::{Parity, SerialSettings};

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How a port is opened, beside its speed and format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineOptions {
    /// Who tells whom to wait.
    pub flow: Flow,
    /// Whether no other program may open it meanwhile.
    pub exclusive: bool,
    /// The line DTR once it is open; `None`: as the driver has it.
    pub dtr: Option<bool>,
    /// The line RTS once it is open.
    pub rts: Option<bool>,
    /// Whether the kernel turns the direction of RS-485.
    pub rs485: bool,
    /// Whether bytes are handed on at once, where an adapter collects them (FTDI: 16 ms).
    pub low_latency: bool,
}

/// Who tells whom to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// Nobody.
    #[default]
    None,
    /// RTS and CTS.
    Hardware,
    /// XON and XOFF.
    Software,
}

impl Default for LineOptions {
    fn default() -> LineOptions {
        LineOptions {
            flow: Flow::None,
            exclusive: true,
            dtr: None,
            rts: None,
            rs485: false,
            low_latency: true,
        }
    }
}

/// Opens a port.
///
/// The error is a sentence for a person. Opening may block for as long as a driver likes: it has a thread of its
/// own.
pub(super) async fn open(
    address: &PortAddress,
    settings: SerialSettings,
    options: LineOptions,
    is_modbus: bool,
) -> Result<Wire, String> {
    match address {
        PortAddress::Path(_) | PortAddress::Usb { .. } => {
            let path = address.resolve(Path::new("/"))?;
            let owned = path.clone();
            let opened = tokio::task::spawn_blocking(move || open_now(&owned, settings, options)).await;
            let opened = opened.map_err(|_| "opening the port panicked".to_owned())?;
            opened.map(Wire::serial).map_err(|error| help(&path, &error))
        }
        PortAddress::Tcp { host } => {
            let translation = if is_modbus { Translation::Mbap(Mbap::default()) } else { Translation::None };
            Ok(Wire::tcp(connect(address, host, &[]).await?, translation))
        }
        PortAddress::RtuOverTcp { host } => {
            Ok(Wire::tcp(connect(address, host, &[]).await?, Translation::None))
        }
        PortAddress::Rfc2217 { host } => {
            let stream = connect(address, host, &Telnet::greeting(settings)).await?;
            Ok(Wire::tcp(stream, Translation::Telnet(Box::default())))
        }
    }
}

/// Tries whether a port on the network is there, and changes nothing: no byte reaches the line behind it.
///
/// # Errors
/// One sentence.
pub async fn reach(address: &PortAddress) -> Result<(), String> {
    match address {
        PortAddress::Path(_) | PortAddress::Usb { .. } => Ok(()),
        PortAddress::Tcp { host } | PortAddress::RtuOverTcp { host } => {
            connect(address, host, &[]).await.map(drop)
        }
        PortAddress::Rfc2217 { host } => {
            let mut stream = connect(address, host, &Telnet::OFFER).await?;
            let mut first = [0];
            let answer = timeout(CONNECT_DEADLINE, stream.read_exact(&mut first)).await;
            if matches!(answer, Ok(Ok(_)))
                && first == Telnet::OFFER.first_chunk::<1>().copied().unwrap_or_default()
            {
                return Ok(());
            }
            Err(format!(
                "{address} does not answer as RFC 2217 has it; does it pass bytes as they are? tcp://{host}"
            ))
        }
    }
}

async fn connect(address: &PortAddress, host: &str, greeting: &[u8]) -> Result<TcpStream, String> {
    let connected = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        // A converter that lost its power says nothing: the kernel finds out.
        let keep_alive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(15))
            .with_interval(Duration::from_secs(5))
            .with_retries(3);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
        stream.write_all(greeting).await?;
        Ok::<_, io::Error>(stream)
    };
    match timeout(CONNECT_DEADLINE, connected).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!(
                    "{address}: nothing listens there; is it the right port, and is nobody else connected?"
                )
            }
            _ => format!("{address} cannot be reached: {error}"),
        }),
        Err(_) => Err(format!("{address} does not answer; is it on, and is a firewall in between?")),
    }
}

fn open_now(
    path: &Path,
    settings: SerialSettings,
    options: LineOptions,
) -> tokio_serial::Result<SerialStream> {
    let format = settings.format;
    if options.rs485 {
        turn_direction(path)?;
    }
    let mut builder = tokio_serial::new(path.to_string_lossy(), settings.baud)
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
        .flow_control(match options.flow {
            Flow::None => FlowControl::None,
            Flow::Hardware => FlowControl::Hardware,
            Flow::Software => FlowControl::Software,
        });
    if let Some(dtr) = options.dtr {
        builder = builder.dtr_on_open(dtr);
    }
    let mut port = builder.open_native_async()?;
    if !options.exclusive {
        port.set_exclusive(false)?;
    }
    if let Some(rts) = options.rts {
        port.write_request_to_send(rts)?;
    }
    if options.low_latency {
        hurry(path);
    }
    Ok(port)
}

/// Lets the kernel drive RTS while it sends. Said before the port is opened for good: the driver keeps it.
fn turn_direction(path: &Path) -> tokio_serial::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let config = serial2::rs4xx::Rs485Config::new();
    serial2::SerialPort::from(std::os::fd::OwnedFd::from(file)).set_rs4xx_mode(config).map_err(|error| {
        let message = format!("its driver does not turn the direction of RS-485 ({error}): rs485 = false");
        tokio_serial::Error::new(ErrorKind::InvalidInput, message)
    })
}

/// FTDI adapters keep bytes for 16 ms unless told otherwise. Whoever may not tell them lives with it.
fn hurry(path: &Path) {
    let device = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(name) = device.file_name() {
        let timer = Path::new("/sys/class/tty").join(name).join("device/latency_timer");
        if timer.exists() && std::fs::write(&timer, "1").is_err() {
            tracing::debug!(
                "{} cannot be set: bytes may wait 16 ms; hardware/udev has a rule",
                timer.display()
            );
        }
    }
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
