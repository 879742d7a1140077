//! What may stand behind a key: the notations of sizes, durations, addresses, topics and the like.
//!
//! Each notation is one function from text to value, used to check a file and again to build from it, so that the
//! two cannot disagree.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use super::schema::Table;
use crate::adapter::serial::PortAddress;
use crate::bridge::{DayWindow, Rate, Target};
use crate::device::SerialFormat;
use crate::mqtt::TopicFilter;
use crate::net::ListenAddress;
use crate::reading::{MeasurementName, SensorName};
use crate::stream::{Proxy, Url};

/// What may stand behind a key.
pub(super) enum Kind {
    /// A text with a notation of its own.
    Text(&'static Notation),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Switch,
    /// A whole number between these, both included.
    Number(u64, u64),
    /// Bytes: a whole number, or a text such as `"64MiB"`, between these.
    Size(u64, u64),
    /// A text such as `"30d"`.
    Duration,
    /// A text, or a list of texts.
    OneOrMore(&'static Notation),
    /// A list of texts.
    Texts(&'static Notation),
    /// A table from any text to a text.
    Map(&'static Notation),
    /// A table with these keys.
    Table(&'static Table),
    /// `[[key]]`: any number of tables with these keys.
    Tables(&'static Table),
    /// `[key.NAME]`: tables with these keys, each under a name.
    Named(&'static Table),
    /// A list of tables with these keys; a text stands for a table with only the first key.
    Rules(&'static Table),
}

/// How a text must look.
pub(super) struct Notation {
    /// What it is, without an article, for messages and the reference.
    pub(super) name: &'static str,
    /// An example.
    pub(super) example: &'static str,
    /// Why a text is not one.
    pub(super) check: fn(&str) -> Result<(), String>,
    /// Whether the text must not be shown.
    pub(super) secret: bool,
}

const fn notation(
    name: &'static str,
    example: &'static str,
    check: fn(&str) -> Result<(), String>,
) -> Notation {
    Notation { name, example, check, secret: false }
}

pub(super) static TEXT: Notation = notation("text", "\"...\"", |_| Ok(()));
pub(super) static CLIENT_ID: Notation = notation("client identifier", "\"greenhouse\"", not_empty);
pub(super) static PATH: Notation = notation("path", "\"users\"", not_empty);
pub(super) static PORT: Notation = notation("port", "\"/dev/serial/by-id/...\"", |text| {
    not_empty(text)?;
    PortAddress::parse(text, Path::new("")).map(drop)
});
pub(super) static NAME: Notation = notation("name", "\"greenhouse\"", name);
pub(super) static ADDRESS: Notation =
    notation("address", "\"127.0.0.1:1883\"", |text| address(text).map(drop));
pub(super) static LISTEN: Notation =
    notation("listening address", "\"127.0.0.1:1883\"", |text| listen(text).map(drop));
pub(super) static MODE: Notation = notation("file mode", "\"0660\"", |text| mode(text).map(drop));
pub(super) static ORIGIN: Notation = notation("origin", "\"https://app.example.com\"", origin);
pub(super) static PROXY: Notation =
    notation("proxy", "\"http://proxy.example.com:3128\"", |text| Proxy::parse(text).map(drop));
pub(super) static SECRET: Notation =
    Notation { secret: true, ..notation("secret", "\"file:cloud.password\"", not_empty) };
pub(super) static URL: Notation =
    notation("URL", "\"mqtts://broker.example.com\"", |text| Url::parse(text).map(drop));
pub(super) static ALPN: Notation = notation("protocol name", "\"mqtt\"", super::server::alpn);
pub(super) static TOPIC_FILTER: Notation = notation("topic filter", "\"tidegate/#\"", |text| {
    TopicFilter::parse(text.to_owned()).map(drop).map_err(|error| error.to_string())
});
pub(super) static TOPIC: Notation = notation("topic", "\"sites/greenhouse/#\"", |text| {
    Target::parse(&with_names(text, "x", "x")).map(drop).map_err(|error| error.to_string())
});
pub(super) static RATE: Notation = notation("rate", "\"10/s\"", |text| rate(text).map(drop));
pub(super) static WINDOW: Notation =
    notation("time window", "\"22:00-06:00\"", |text| DayWindow::parse(text).map(drop));
pub(super) static MEASUREMENT: Notation = notation("measurement", "\"temperature\"", |text| {
    let known = text.is_empty() || MeasurementName::parse(text).is_some();
    if known { Ok(()) } else { Err("it has control characters, quotes, or more than 64 bytes".into()) }
});
pub(super) static PATTERN: Notation = notation("regular expression", "'T=(?<temperature>\\S+)'", |text| {
    regex::Regex::new(text).map(drop).map_err(|error| error.to_string())
});
pub(super) static BLE_ADDRESS: Notation =
    notation("Bluetooth address", "\"A4:C1:38:12:34:56\"", |text| ble_address(text).map(drop));
pub(super) static SERIAL_FORMAT: Notation = notation("serial format", "\"8N1\"", |text| {
    let why = "data bits, parity and stop bits are written 8N1, 7E1, 8O2";
    SerialFormat::parse(text).map(drop).ok_or_else(|| why.to_owned())
});

pub(super) fn length(text: &str, least: usize, most: usize) -> Result<(), String> {
    let fits = (least..=most).contains(&text.len());
    if fits { Ok(()) } else { Err(format!("it has {} bytes: {least} to {most}", text.len())) }
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("it is empty".into()) } else { Ok(()) }
}

/// A name that stands in topics.
pub(super) fn name(text: &str) -> Result<(), String> {
    match SensorName::parse(text) {
        Some(_) => Ok(()),
        None => Err("a name has 1 to 64 letters, digits, '-', '_' or '.': it stands in topics".into()),
    }
}

/// `127.0.0.1:1883`, `[::1]:1883`, `localhost:1883`. A name is resolved now.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.parse::<std::net::IpAddr>().is_ok() || !text.contains(':') {
        return Err("the port is missing".into());
    }
    match text.rsplit_once(':') {
        Some(("", _)) => Err("the address before the port is missing; 0.0.0.0 means all of IPv4".into()),
        Some((_, port)) if port.parse::<u16>().is_err() => {
            Err(format!("{port:?} is no port: a port is a number up to 65535"))
        }
        _ => match text.to_socket_addrs().map(|mut found| found.next()) {
            Ok(Some(address)) => Ok(address),
            Ok(None) => Err("the name has no address".into()),
            Err(error) => Err(format!("the name cannot be resolved: {error}")),
        },
    }
}

/// An address, `unix:PATH`, `systemd` or `systemd:NAME`. The mode of a Unix socket has a key of its own.
pub(super) fn listen(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        // sockaddr_un has room for 107 bytes and a zero.
        return match path.len() {
            0 => Err("the path is missing: \"unix:/run/tidegate/mqtt.sock\"".into()),
            1..=107 => Ok(ListenAddress::Unix { path: path.into(), mode: DEFAULT_MODE }),
            _ => Err("the path of a Unix socket has at most 107 bytes".into()),
        };
    }
    match text.strip_prefix("systemd") {
        Some("") => Ok(ListenAddress::Systemd(None)),
        Some(name) if name.len() > 1 && name.starts_with(':') => {
            Ok(ListenAddress::Systemd(Some(name.trim_start_matches(':').to_owned())))
        }
        _ => address(text).map(ListenAddress::Tcp),
    }
}

/// Who may connect to a Unix socket, unless the file says: its owner and its group.
const DEFAULT_MODE: u32 = 0o660;

/// `0660`
pub(super) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode has three octal digits, as in \"0660\"".into()),
    }
}

/// `https://app.example.com`, or `*`.
fn origin(text: &str) -> Result<(), String> {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    match rest {
        _ if text == "*" || text == "null" => Ok(()),
        Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ']) => Ok(()),
        _ => Err("an origin is scheme, host and port, without a path: \"https://app.example.com\"".into()),
    }
}

/// Bytes: `1048576`, `"1MiB"`, `"64 kB"`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("kB", 1000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ];
    number_with_unit(text, &UNITS, "a size is written \"64KiB\", \"10MiB\" or \"1GiB\"")
}

/// `"90s"`, `"15min"`, `"36h"`, `"30d"`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1000),
        ("min", 60_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
    ];
    let expected = "a duration is written \"90s\", \"15min\", \"36h\" or \"30d\"";
    number_with_unit(text, &UNITS, expected).map(Duration::from_millis)
}

/// `"10/s"`, `"30/min"`, `"1000/h"`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let expected = "a rate is written \"10/s\", \"30/min\" or \"1000/h\"";
    let (number, unit) = text.split_once('/').ok_or(expected)?;
    let messages = number.trim().parse().ok().filter(|number| *number > 0).ok_or(expected)?;
    let unit = unit.trim();
    let per = duration(unit).or_else(|_| duration(&format!("1{unit}"))).map_err(|_| expected)?;
    if per.is_zero() { Err(expected.into()) } else { Ok(Rate { messages, per }) }
}

/// A topic with the names that stand in it as `{gateway}` and `{client_id}`.
pub(super) fn with_names(text: &str, gateway: &str, client_id: &str) -> String {
    text.replace("{gateway}", gateway).replace("{client_id}", client_id)
}

fn number_with_unit(text: &str, units: &[(&str, u64)], expected: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| factor);
    let number = number.replace('_', "").parse::<u64>().ok();
    match number.zip(factor).and_then(|(number, factor)| number.checked_mul(*factor)) {
        Some(value) => Ok(value),
        None => Err(expected.to_owned()),
    }
}

/// `A4:C1:38:12:34:56`
pub(super) fn ble_address(text: &str) -> Result<[u8; 6], String> {
    let octets: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|pair| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok())?)
        .collect();
    octets
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| "a Bluetooth address has six pairs of hexadecimal digits: A4:C1:38:12:34:56".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("64 kB"), Ok(64_000));
        assert_eq!(size("1_000"), Ok(1000));
        for bad in ["", "GiB", "1XB", "1.5MiB", "99999999999999GiB", "-1"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("15 min"), Ok(Duration::from_secs(900)));
        for bad in ["", "30", "d", "1y", "1h30m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("10/s"), Ok(Rate { messages: 10, per: Duration::from_secs(1) }));
        assert_eq!(rate("30 / min"), Ok(Rate { messages: 30, per: Duration::from_secs(60) }));
        assert_eq!(rate("5/10s"), Ok(Rate { messages: 5, per: Duration::from_secs(10) }));
        for bad in ["", "10", "/s", "0/s", "10/0s", "x/s", "10/y"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        assert!(address("0.0.0.0:1883").is_ok());
        assert!(address("[::1]:0").is_ok());
        for (bad, why) in
            [("127.0.0.1", "port"), ("::1", "port"), (":1883", "before"), ("localhost:mqtt", "port")]
        {
            assert!(address(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn listening_addresses() {
        assert_eq!(listen("systemd"), Ok(ListenAddress::Systemd(None)));
        assert_eq!(listen("systemd:mqtt"), Ok(ListenAddress::Systemd(Some("mqtt".into()))));
        let unix = ListenAddress::Unix { path: "/run/t.sock".into(), mode: 0o660 };
        assert_eq!(listen("unix:/run/t.sock"), Ok(unix));
        for bad in ["unix:", "systemd:", "systemdx", "unix", "1883"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
        assert_eq!((mode("0660"), mode("600")), (Ok(0o660), Ok(0o600)));
        assert!(mode("rw").is_err() && mode("7777").is_err());
        assert!(origin("https://a.example:8443").is_ok() && origin("*").is_ok());
        assert!(origin("a.example").is_err() && origin("https://a.example/").is_err());
    }

    #[test]
    fn other_notations() {
        assert_eq!(ble_address("A4:C1:38:12:34:56"), Ok([0xa4, 0xc1, 0x38, 0x12, 0x34, 0x56]));
        assert!(ble_address("A4:C1:38:12:34").is_err() && ble_address("A4:C1:38:12:34:5é").is_err());
    }
}
