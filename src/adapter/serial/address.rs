//! Where a port is: a path, an adapter by what it says of itself, or the other side of a network.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a port is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortAddress {
    /// A device file, best one of `/dev/serial/by-id` or `/dev/serial/by-path`.
    Path(PathBuf),
    /// A USB adapter by vendor, product, and serial number where one is said: `usb:0403:6001:A50285BI`.
    Usb {
        /// As `1a86`.
        vendor: u16,
        /// As `7523`.
        product: u16,
        /// The adapter's own, if it has one.
        serial_number: Option<String>,
    },
    /// Bytes over TCP, as they are: `tcp://host:port`. On a Modbus line it is Modbus TCP.
    Tcp {
        /// Name or address, and port.
        host: String,
    },
    /// Modbus RTU over TCP, as simple converters have it: `rtu+tcp://host:port`.
    RtuOverTcp {
        /// Name or address, and port.
        host: String,
    },
    /// A port of another machine, with its speed and format (RFC 2217): `rfc2217://host:port`.
    Rfc2217 {
        /// Name or address, and port.
        host: String,
    },
}

impl PortAddress {
    /// Reads an address; paths are relative to `folder`.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str, folder: &Path) -> Result<PortAddress, String> {
        if let Some(ids) = text.strip_prefix("usb:") {
            return parse_usb(ids);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(PortAddress::Path(folder.join(text)));
        };
        let host = rest.trim_end_matches('/').to_owned();
        let good =
            host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
        if !good {
            return Err(format!("{text:?} has no host and port: {scheme}://192.168.1.20:4001"));
        }
        match scheme {
            "tcp" => Ok(PortAddress::Tcp { host }),
            "rtu+tcp" => Ok(PortAddress::RtuOverTcp { host }),
            "rfc2217" => Ok(PortAddress::Rfc2217 { host }),
            _ => Err(format!(
                "{scheme}:// is no way to a serial port; there are tcp://, rtu+tcp:// and rfc2217://"
            )),
        }
    }

    /// The device file, where it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            PortAddress::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The device file as it is now, also of an adapter that is found by what it says; `None`: it is on the network.
    ///
    /// # Errors
    /// When no such adapter is plugged in, or several are.
    pub fn device_file(&self) -> Result<Option<PathBuf>, String> {
        match self {
            PortAddress::Path(_) | PortAddress::Usb { .. } => self.resolve(Path::new("/")).map(Some),
            _ => Ok(None),
        }
    }

    /// The device file at this moment: adapters may have another name each time they are plugged in.
    ///
    /// # Errors
    /// When no such adapter is plugged in, or several are.
    pub(super) fn resolve(&self, root: &Path) -> Result<PathBuf, String> {
        match self {
            PortAddress::Path(path) => Ok(path.clone()),
            PortAddress::Usb { vendor, product, serial_number } => {
                let wanted = |found: &UsbPort| {
                    (found.vendor, found.product) == (*vendor, *product)
                        && (serial_number.is_none() || found.serial_number == *serial_number)
                };
                let found: Vec<UsbPort> = usb_ports(root).into_iter().filter(wanted).collect();
                match found.as_slice() {
                    [one] => Ok(one.device.clone()),
                    [] => Err(format!("{self} is not plugged in; `tidegate scan` shows what is")),
                    several => Err(format!(
                        "{} adapters are {self}: say which by its serial number, or by its name in /dev/serial/by-path",
                        several.len()
                    )),
                }
            }
            _ => Err(format!("{self} is no device file")),
        }
    }
}

impl From<PathBuf> for PortAddress {
    fn from(path: PathBuf) -> PortAddress {
        PortAddress::Path(path)
    }
}

impl fmt::Display for PortAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortAddress::Path(path) => path.display().fmt(formatter),
            PortAddress::Usb { vendor, product, serial_number } => {
                write!(formatter, "usb:{vendor:04x}:{product:04x}")?;
                serial_number.as_ref().map_or(Ok(()), |number| write!(formatter, ":{number}"))
            }
            PortAddress::Tcp { host } => write!(formatter, "tcp://{host}"),
            PortAddress::RtuOverTcp { host } => write!(formatter, "rtu+tcp://{host}"),
            PortAddress::Rfc2217 { host } => write!(formatter, "rfc2217://{host}"),
        }
    }
}

fn parse_usb(ids: &str) -> Result<PortAddress, String> {
    let mut parts = ids.splitn(3, ':');
    let id = |part: Option<&str>| u16::from_str_radix(part.filter(|part| part.len() == 4)?, 16).ok();
    match (id(parts.next()), id(parts.next())) {
        (Some(vendor), Some(product)) => {
            Ok(PortAddress::Usb { vendor, product, serial_number: parts.next().map(str::to_owned) })
        }
        _ => Err(format!(
            "usb:{ids} is not vendor and product: usb:0403:6001, or with a serial number usb:0403:6001:A50285BI"
        )),
    }
}

struct UsbPort {
    device: PathBuf,
    vendor: u16,
    product: u16,
    serial_number: Option<String>,
}

/// The serial ports that are USB adapters; `root` is `/`, or a folder that stands for it.
fn usb_ports(root: &Path) -> Vec<UsbPort> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let port = |class: &Path| {
        let hardware = class.join("device").canonicalize().ok()?;
        let adapter = hardware.ancestors().find(|folder| folder.join("idVendor").exists())?;
        let line =
            |name: &str| fs::read_to_string(adapter.join(name)).ok().map(|text| text.trim().to_owned());
        let id = |name: &str| u16::from_str_radix(&line(name)?, 16).ok();
        Some(UsbPort {
            device: root.join("dev").join(class.file_name()?),
            vendor: id("idVendor")?,
            product: id("idProduct")?,
            serial_number: line("serial"),
        })
    };
    entries.flatten().filter_map(|entry| port(&entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let folder = Path::new("/etc/tidegate");
        let parse = |text: &str| PortAddress::parse(text, folder);
        for text in [
            "/dev/ttyUSB0",
            "usb:1a86:7523",
            "usb:0403:6001:A5:X",
            "tcp://10.0.0.2:4001",
            "rfc2217://[::1]:2217",
            "rtu+tcp://gw:502",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("port").unwrap(), PortAddress::Path("/etc/tidegate/port".into()));
        for bad in
            ["usb:1a86", "usb:zzzz:7523", "tcp://host", "tcp://:1", "udp://host:1", "rfc2217://host:99999"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_adapter_is_found_by_what_it_says_whatever_its_name() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (port, number) in [("ttyUSB3", "A1"), ("ttyUSB7", "B2")] {
            let adapter = path(&format!("sys/devices/usb1/{port}-adapter"));
            fs::create_dir_all(adapter.join("interface/port")).unwrap();
            for (name, text) in [("idVendor", "0403\n"), ("idProduct", "6001\n"), ("serial", number)] {
                fs::write(adapter.join(name), text).unwrap();
            }
            fs::create_dir_all(path("sys/class/tty").join(port)).unwrap();
            symlink(adapter.join("interface/port"), path("sys/class/tty").join(port).join("device")).unwrap();
        }
        let resolve = |text: &str| PortAddress::parse(text, root.path()).unwrap().resolve(root.path());
        assert_eq!(resolve("usb:0403:6001:B2"), Ok(path("dev/ttyUSB7")));
        assert!(resolve("usb:0403:6001").unwrap_err().starts_with("2 adapters are usb:0403:6001"));
        assert!(resolve("usb:0403:6001:C3").unwrap_err().contains("is not plugged in"));
    }
}
