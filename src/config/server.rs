//! How the server of an uplink is reached: its URLs, the proxy, TLS.

use super::Folder;
use super::kind;
use super::model::Server;
use super::section::Section;
use crate::stream::{ClientTls, Proxy, Scheme, Url};

/// How AWS IoT wants to be spoken to on the port of the web.
const AWS_PROTOCOL: &str = "x-amzn-mqtt-ca";

/// Reads what an uplink says of its server; `None` when a URL is missing or wrong.
pub(super) fn server(uplink: &Section<'_>, folder: &Folder) -> Option<Server> {
    let urls = urls(uplink)?;
    let mut tls = tls(uplink, folder);
    let on_web_port = urls.iter().any(|url| url.scheme == Scheme::Mqtts && url.port == 443);
    if uplink.text("provider") == Some("aws-iot") && on_web_port && tls.alpn.is_empty() {
        tls.alpn = vec![AWS_PROTOCOL.to_owned()];
    }
    Some(Server {
        urls,
        proxy: uplink.text("proxy").and_then(|text| Proxy::parse(text).ok()),
        proxy_username: uplink.text("proxy_username").map(str::to_owned),
        proxy_password: uplink.text("proxy_password").map(|text| folder.secret(text)),
        tls,
    })
}

/// The URLs of an uplink, at least one.
pub(super) fn urls(uplink: &Section<'_>) -> Option<Vec<Url>> {
    let urls: Result<Vec<Url>, _> =
        uplink.one_or_more("url").iter().map(|(text, _)| Url::parse(text)).collect();
    urls.ok().filter(|urls| !urls.is_empty())
}

/// `tls = { ... }` of an uplink.
pub(super) fn tls(uplink: &Section<'_>, folder: &Folder) -> ClientTls {
    let Some(tls) = uplink.table("tls") else { return ClientTls::default() };
    ClientTls {
        ca: tls.path("ca", folder.path()),
        identity: tls.path("cert", folder.path()).zip(tls.path("key", folder.path())),
        alpn: tls.texts("alpn").iter().map(|(text, _)| (*text).to_owned()).collect(),
        server_name: tls.text("server_name").map(str::to_owned),
    }
}

/// Whether a text may be offered by ALPN (RFC 7301, section 3.1).
pub(super) fn alpn(text: &str) -> Result<(), String> {
    kind::length(text, 1, 255)
}
