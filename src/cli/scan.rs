//! `tidegate scan`: the serial ports of this machine by the names that last, and what is in the air.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{Access, access};
use serde_json::{Value, json};

use super::scan_air;
use super::terminal::say;
use crate::config::ports;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate scan
  tidegate scan --seconds 30 --all
  tidegate scan --json")]
pub(super) struct Arguments {
    /// Prints an array: {port, device, vendor, ...} of ports, {address, name, rssi, model, readings, ...} of devices
    /// in the air
    #[arg(long)]
    json: bool,
    /// How long to listen for Bluetooth devices; 0: not at all
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Shows also the Bluetooth devices of formats that nobody knows
    #[arg(long)]
    all: bool,
}

/// A serial port.
#[derive(Debug, PartialEq, Eq)]
struct Port {
    /// `/dev/ttyUSB0`
    device: PathBuf,
    /// Its name in `/dev/serial/by-id`.
    by_id: Option<PathBuf>,
    usb: Option<Usb>,
    /// Whether this user may open it.
    usable: bool,
}

/// What an USB adapter says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Usb {
    /// `1a86:7523`
    id: String,
    vendor: Option<String>,
    product: Option<String>,
    serial_number: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let ports = scan(Path::new("/"));
    let mut table = LiveTable::new(arguments);
    let air = scan_air::listen(Duration::from_secs(arguments.seconds), |devices| table.show(devices))?;
    table.clear();
    let devices: Vec<_> =
        air.devices.iter().filter(|(_, device)| arguments.all || !device.is_stranger()).collect();
    if arguments.json {
        let devices = devices.iter().map(|(address, device)| device.to_json(address));
        say(format_args!("{:#}", Value::from_iter(ports.iter().map(Port::to_json).chain(devices))))?;
        return Ok(ExitCode::SUCCESS);
    }
    if ports.is_empty() {
        say("no serial ports")?;
    }
    for port in &ports {
        say(port.describe())?;
    }
    for (address, device) in &devices {
        say(device.describe(address))?;
    }
    match air.problem {
        Some(problem) => say(format_args!("Bluetooth: {problem}"))?,
        None if arguments.seconds > 0 => {
            let strangers = air.devices.len() - devices.len();
            say(format_args!("Bluetooth: {} devices, and {strangers} strangers (--all)", devices.len()))?;
        }
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What is heard, drawn anew every second while it is listened; on a terminal only.
struct LiveTable {
    /// Columns and rows of the terminal.
    size: Option<(usize, usize)>,
    all: bool,
    drawn: usize,
}

impl LiveTable {
    fn new(arguments: &Arguments) -> LiveTable {
        let shown = !arguments.json && std::io::stderr().is_terminal();
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok().filter(|_| shown);
        let size = size.map(|size| (usize::from(size.ws_col.max(40)), usize::from(size.ws_row.max(4))));
        LiveTable { size, all: arguments.all, drawn: 0 }
    }

    fn show(&mut self, devices: &scan_air::Devices) {
        let Some((columns, rows)) = self.size else { return };
        self.clear();
        let shown = devices.iter().filter(|(_, device)| self.all || !device.is_stranger());
        let lines: Vec<String> = shown
            .take(rows.saturating_sub(2))
            .map(|(address, device)| device.row(address, columns - 1))
            .collect();
        let strangers = devices.values().filter(|device| device.is_stranger()).count();
        let known = devices.len() - strangers;
        let head = format!("listening: {known} devices, {strangers} strangers");
        self.drawn = lines.len() + 1;
        // A terminal that is gone ends the listening by itself.
        let _ = writeln!(std::io::stderr(), "{head}\n{}", lines.join("\n"));
        self.drawn += usize::from(lines.is_empty());
    }

    /// Up to where the table began, and everything below is gone.
    fn clear(&mut self) {
        if self.drawn > 0 {
            let _ = write!(std::io::stderr(), "\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }
}

/// The serial ports that have hardware behind them; `root` is `/`, or a folder that stands for it.
fn scan(root: &Path) -> Vec<Port> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let mut ports: Vec<Port> = entries.flatten().filter_map(|entry| port(root, &entry.path())).collect();
    ports.sort_by(|one, other| one.device.cmp(&other.device));
    ports
}

fn port(root: &Path, class: &Path) -> Option<Port> {
    let hardware = class.join("device").canonicalize().ok()?;
    // The kernel prepares ports that no chip stands behind: they have type 0.
    let absent = fs::read_to_string(class.join("type")).is_ok_and(|kind| kind.trim() == "0");
    let device = root.join("dev").join(class.file_name()?);
    if absent || !device.exists() {
        return None;
    }
    Some(Port {
        by_id: ports::by_id_in(&root.join("dev/serial/by-id"), &device),
        usb: hardware.ancestors().find_map(Usb::read),
        usable: access(&device, Access::READ_OK | Access::WRITE_OK).is_ok(),
        device,
    })
}

impl Usb {
    /// Reads a folder of the kernel's device tree, if it is that of an USB device.
    fn read(folder: &Path) -> Option<Usb> {
        let line = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Some(Usb {
            id: format!("{}:{}", line("idVendor")?, line("idProduct")?),
            vendor: line("manufacturer"),
            product: line("product"),
            serial_number: line("serial"),
        })
    }
}

impl Port {
    /// The name to write into a configuration.
    fn name(&self) -> &Path {
        self.by_id.as_deref().unwrap_or(&self.device)
    }

    fn describe(&self) -> String {
        let mut text = self.name().display().to_string();
        if self.by_id.is_some() {
            text.push_str(&format!("\n    now {}", self.device.display()));
        }
        if let Some(usb) = &self.usb {
            let words = [usb.vendor.as_deref(), usb.product.as_deref()].into_iter().flatten();
            let words: Vec<&str> = words.chain([usb.id.as_str()]).collect();
            text.push_str(&format!("\n    {}", words.join(", ")));
        }
        if !self.usable {
            text.push_str("\n    you may not open it: sudo usermod -aG dialout $USER, then log in again");
        }
        text
    }

    fn to_json(&self) -> Value {
        let usb = self.usb.as_ref();
        json!({
            "port": self.name(),
            "device": self.device,
            "vendor": usb.and_then(|usb| usb.vendor.as_deref()),
            "product": usb.and_then(|usb| usb.product.as_deref()),
            "usb_id": usb.map(|usb| usb.id.as_str()),
            "serial_number": usb.and_then(|usb| usb.serial_number.as_deref()),
            "usable": self.usable,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn usb_ports_are_found_with_their_lasting_name_and_ports_without_hardware_are_not() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let adapter = path("sys/devices/usb1/1-1");
        fs::create_dir_all(adapter.join("1-1:1.0/ttyUSB0")).unwrap();
        for (name, text) in [
            ("idVendor", "1a86\n"),
            ("idProduct", "7523\n"),
            ("product", "USB Serial\n"),
            ("manufacturer", "\n"),
        ] {
            fs::write(adapter.join(name), text).unwrap();
        }
        for name in ["ttyUSB0", "ttyS0", "tty1"] {
            fs::create_dir_all(path("sys/class/tty").join(name)).unwrap();
        }
        symlink(adapter.join("1-1:1.0/ttyUSB0"), path("sys/class/tty/ttyUSB0/device")).unwrap();
        symlink(adapter.join("1-1:1.0"), path("sys/class/tty/ttyS0/device")).unwrap();
        fs::write(path("sys/class/tty/ttyS0/type"), "0\n").unwrap();
        fs::create_dir_all(path("dev/serial/by-id")).unwrap();
        for name in ["dev/ttyUSB0", "dev/ttyS0", "dev/tty1"] {
            fs::write(path(name), "").unwrap();
        }
        symlink("../../ttyUSB0", path("dev/serial/by-id/usb-1a86_USB_Serial-if00-port0")).unwrap();

        let found = scan(root.path());
        let usb = Usb { id: "1a86:7523".into(), product: Some("USB Serial".into()), ..Usb::default() };
        let expected = Port {
            device: path("dev/ttyUSB0"),
            by_id: Some(path("dev/serial/by-id/usb-1a86_USB_Serial-if00-port0")),
            usb: Some(usb),
            usable: true,
        };
        assert_eq!(found, [expected]);
        assert!(found[0].describe().contains("USB Serial, 1a86:7523"));
    }
}
