//! What may stand behind a key: the notations of sizes, durations, addresses, topics and the like.
//!
//! Each notation is one function from text to value, used to check a file and again to build from it, so that the
//! two cannot disagree.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::schema::Table;
use crate::bridge::Target;
use crate::device::SerialFormat;
use crate::mqtt::TopicFilter;
use crate::reading::{MeasurementName, SensorName};

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
pub(super) static NAME: Notation = notation("name", "\"greenhouse\"", name);
pub(super) static ADDRESS: Notation =
    notation("address", "\"127.0.0.1:1883\"", |text| address(text).map(drop));
pub(super) static SECRET: Notation =
    Notation { secret: true, ..notation("secret", "\"file:cloud.password\"", not_empty) };
pub(super) static URL: Notation =
    notation("URL", "\"mqtts://broker.example.com\"", |text| Url::parse(text).map(drop));
pub(super) static TOPIC_FILTER: Notation = notation("topic filter", "\"tidegate/#\"", |text| {
    TopicFilter::parse(text.to_owned()).map(drop).map_err(|error| error.to_string())
});
pub(super) static TOPIC: Notation = notation("topic", "\"sites/greenhouse/#\"", |text| {
    Target::parse(text).map(drop).map_err(|error| error.to_string())
});
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

/// How the server of an uplink is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The transport under MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
}

impl Url {
    /// `mqtt://HOST[:PORT]`, and `ws://HOST[:PORT]/PATH`.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("the scheme is missing: \"mqtt://{text}\""));
        };
        let (scheme, usual_port) = match scheme {
            "mqtt" | "tcp" => (Scheme::Mqtt, 1883),
            "mqtts" | "ssl" => (Scheme::Mqtts, 8883),
            "ws" => (Scheme::Ws, 80),
            "wss" => (Scheme::Wss, 443),
            other => return Err(format!("{other:?} is no scheme: mqtt, mqtts, ws or wss")),
        };
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        if authority.contains('@') {
            return Err("user and password have keys of their own: username, password".into());
        }
        if path.is_some_and(|path| !path.is_empty()) && matches!(scheme, Scheme::Mqtt | Scheme::Mqtts) {
            return Err("only ws and wss have a path".into());
        }
        let (host, port) = split_port(authority)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let good = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(good) {
            return Err(format!("{host:?} is no host name"));
        }
        Ok(Url { scheme, host: host.to_owned(), port: port.unwrap_or(usual_port) })
    }
}

/// Splits `HOST:PORT`, `[V6]:PORT`, and either without a port.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority.get(after_bracket..).and_then(|rest| rest.rfind(':')) else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(after_bracket + colon);
    let port = port.trim_start_matches(':');
    match port.parse() {
        Ok(0) | Err(_) => Err(format!("{port:?} is no port: a port is a number from 1 to 65535")),
        Ok(port) => Ok((host, Some(port))),
    }
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
    fn urls() {
        let url = Url::parse("mqtt://broker.example.com").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("broker.example.com", 1883));
        let url = Url::parse("mqtts://[2001:db8::1]:9000/").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Mqtts, "2001:db8::1", 9000));
        for bad in [
            "broker",
            "http://broker",
            "mqtt://",
            "mqtt://user:pass@host",
            "mqtt://host:0",
            "mqtt://a b",
            "mqtt://h/p",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_notations() {
        assert_eq!(ble_address("A4:C1:38:12:34:56"), Ok([0xa4, 0xc1, 0x38, 0x12, 0x34, 0x56]));
        assert!(ble_address("A4:C1:38:12:34").is_err() && ble_address("A4:C1:38:12:34:5é").is_err());
    }
}
