//! How a server is named: scheme, host, port, path. Never looks a name up.

/// `mqtts://broker.example.com:8883`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// What lies under MQTT.
    pub scheme: Scheme,
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// The port, the usual one of the scheme unless it is written.
    pub port: u16,
    /// Of `ws` and `wss`; begins with a slash.
    pub path: String,
}

/// The transport under MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// TCP
    Mqtt,
    /// TLS
    Mqtts,
    /// WebSocket
    Ws,
    /// WebSocket over TLS
    Wss,
}

impl Scheme {
    /// Whether it is encrypted.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Scheme::Mqtts | Scheme::Wss)
    }

    /// Whether it goes through WebSocket.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }

    const fn usual_port(self) -> u16 {
        match self {
            Scheme::Mqtt => 1883,
            Scheme::Mqtts => 8883,
            Scheme::Ws => 80,
            Scheme::Wss => 443,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }
}

impl Url {
    /// Reads `mqtt://HOST[:PORT]`, or `ws://HOST[:PORT]/PATH`; a WebSocket without a path means `/mqtt`, which is
    /// what most servers call it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Url, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("the scheme is missing: \"mqtt://{text}\""));
        };
        let scheme = match scheme {
            "mqtt" | "tcp" => Scheme::Mqtt,
            "mqtts" | "ssl" | "tls" => Scheme::Mqtts,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            other => return Err(format!("{other:?} is no scheme: mqtt, mqtts, ws or wss")),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err("user and password have keys of their own: username, password".into());
        }
        let path = read_path(scheme, path)?;
        let (host, port) = split_port(authority)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let good = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(good) {
            return Err(format!("{host:?} is no host name"));
        }
        Ok(Url { scheme, host: host.to_owned(), port: port.unwrap_or(scheme.usual_port()), path })
    }

    /// As in an HTTP `Host` header: without the port where it is the usual one of the web.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.usual_port() { host } else { format!("{host}:{}", self.port) }
    }
}

/// Shows everything but the usual port.
impl std::fmt::Display for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme.name(), self.authority(), self.path)
    }
}

fn read_path(scheme: Scheme, path: &str) -> Result<String, String> {
    if !scheme.is_websocket() {
        return match path {
            "" | "/" => Ok(String::new()),
            _ => Err("only ws and wss have a path".into()),
        };
    }
    if !path.chars().all(|c| c.is_ascii_graphic() && c != '#') {
        return Err(format!(
            "{path:?} is no path of a WebSocket: write other characters as %20 and the like"
        ));
    }
    Ok(match path {
        "" => "/mqtt".to_owned(),
        query if query.starts_with('?') => format!("/mqtt{query}"),
        path => path.to_owned(),
    })
}

/// Splits `HOST:PORT`, `[V6]:PORT`, and either without a port.
pub(in crate::stream) fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
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
    fn urls() {
        let url = Url::parse("mqtt://broker.example.com").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("broker.example.com", 1883));
        let url = Url::parse("mqtts://[2001:db8::1]:9000/").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Mqtts, "2001:db8::1", 9000));
        let url = Url::parse("wss://cloud.example.com:8443/ws?tenant=7").unwrap();
        assert_eq!((url.path.as_str(), url.authority().as_str()), ("/ws?tenant=7", "cloud.example.com:8443"));
        for (text, shown) in [
            ("ws://[::1]", "ws://[::1]/mqtt"),
            ("wss://h/", "wss://h/"),
            ("mqtts://h:8883", "mqtts://h"),
            ("mqtt://h:1884", "mqtt://h:1884"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "broker",
            "http://broker",
            "mqtt://",
            "mqtt://user:pass@host",
            "mqtt://host:0",
            "mqtt://a b",
            "mqtt://h/p",
            "ws://h/a b",
            "ws://h/a\r\nX: y",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
