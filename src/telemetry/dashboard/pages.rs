//! What is at which path, and how it is written from a snapshot. Pure: no sockets, no clock.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::telemetry::{Health, Snapshot, render_metrics};

/// The page for people; it fetches `/api/status` every other second.
const FRONT_PAGE: &str = include_str!("front_page.html");
/// Nothing from elsewhere, nothing sent elsewhere, shown in nobody's frame.
const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A path that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Front,
    Health,
    Ready,
    Metrics,
    Status,
}

/// Why a request gets no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Only this machine can come here, and the request names another: a trick (DNS rebinding).
    Elsewhere,
    NoSuchPage,
    /// Nothing can be changed here.
    Method,
    /// The gateway gave no snapshot in time.
    Silence,
}

/// Finds the page of a request. `local_only`: only this machine can come here.
pub(super) fn route<B>(request: &Request<B>, local_only: bool) -> Result<Page, Refusal> {
    if local_only && !names_this_machine(request.headers().get(header::HOST)) {
        return Err(Refusal::Elsewhere);
    }
    let page = match request.uri().path() {
        "/" => Page::Front,
        "/health" => Page::Health,
        "/ready" => Page::Ready,
        "/metrics" => Page::Metrics,
        "/api" | "/api/status" => Page::Status,
        _ => return Err(Refusal::NoSuchPage),
    };
    if matches!(*request.method(), Method::GET | Method::HEAD) { Ok(page) } else { Err(Refusal::Method) }
}

impl Refusal {
    pub(super) fn write(self) -> Response<Full<Bytes>> {
        let (status, why) = match self {
            Refusal::Elsewhere => (StatusCode::MISDIRECTED_REQUEST, "this is served on loopback only\n"),
            Refusal::NoSuchPage => {
                (StatusCode::NOT_FOUND, "there are /, /health, /ready, /metrics and /api/status\n")
            }
            Refusal::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only: nothing can be changed here\n")
            }
            Refusal::Silence => (StatusCode::SERVICE_UNAVAILABLE, "the gateway does not answer\n"),
        };
        let mut response = text(status, why);
        if self == Refusal::Method {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

impl Page {
    pub(super) fn needs_snapshot(self) -> bool {
        self != Page::Front
    }

    pub(super) fn write(self, snapshot: &Snapshot) -> Response<Full<Bytes>> {
        match self {
            Page::Front => response(StatusCode::OK, "text/html; charset=utf-8", FRONT_PAGE.into()),
            Page::Health => {
                let body = json!({"health": snapshot.health, "problems": snapshot.problems});
                // Degraded is not dead: a restart would not bring a sensor or a link back.
                let dead = snapshot.journal.health == "dead";
                json_response(if dead { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, &body)
            }
            Page::Ready => {
                let ready = is_ready(snapshot);
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                json_response(status, &json!({"ready": ready, "problems": snapshot.problems}))
            }
            Page::Metrics => {
                let text = render_metrics(snapshot);
                response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
            }
            Page::Status => json_response(StatusCode::OK, snapshot),
        }
    }
}

/// Whether clients can connect and what they publish is accepted.
fn is_ready(snapshot: &Snapshot) -> bool {
    !snapshot.broker.listeners.is_empty() && snapshot.journal.health == "accepting"
        || snapshot.health == Health::Healthy
}

/// Whether `Host` is an address or `localhost`.
fn names_this_machine(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn json_response(status: StatusCode, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(body) {
        Ok(body) => response(status, "application/json", body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(body.as_bytes()))
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, path: &str, host: &str, local_only: bool) -> Result<Page, Refusal> {
        let request =
            Request::builder().method(method).uri(path).header(header::HOST, host).body(()).unwrap();
        route(&request, local_only)
    }

    #[test]
    fn every_path_leads_to_its_page() {
        for (path, page) in [
            ("/", Page::Front),
            ("/health", Page::Health),
            ("/ready", Page::Ready),
            ("/metrics?x=1", Page::Metrics),
            ("/api", Page::Status),
            ("/api/status", Page::Status),
        ] {
            assert_eq!(ask(Method::GET, path, "127.0.0.1:8080", true), Ok(page), "{path}");
        }
        assert_eq!(ask(Method::GET, "/../etc/passwd", "localhost", true), Err(Refusal::NoSuchPage));
        assert_eq!(ask(Method::POST, "/", "localhost", true), Err(Refusal::Method));
    }

    /// A page of elsewhere whose name was made to lead here gets nothing.
    #[test]
    fn on_loopback_only_this_machine_is_named() {
        for (host, is_let_in) in [
            ("127.0.0.1:8080", true),
            ("localhost", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
        ] {
            assert_eq!(ask(Method::GET, "/api", host, true).is_ok(), is_let_in, "{host}");
            assert!(ask(Method::GET, "/api", host, false).is_ok(), "{host}");
        }
    }

    /// Degraded stays alive; a journal that takes nothing is neither ready nor well.
    #[test]
    fn health_and_readiness_differ() {
        let status = |page: Page, snapshot: &Snapshot| page.write(snapshot).status();
        let mut snapshot = Snapshot { health: Health::Degraded, ..Snapshot::default() };
        snapshot.broker.listeners.push("127.0.0.1:1883".to_owned());
        snapshot.journal.health = "accepting".to_owned();
        assert_eq!(status(Page::Health, &snapshot), StatusCode::OK);
        assert_eq!(status(Page::Ready, &snapshot), StatusCode::OK);
        snapshot.journal.health = "full".to_owned();
        assert_eq!(status(Page::Health, &snapshot), StatusCode::OK);
        assert_eq!(status(Page::Ready, &snapshot), StatusCode::SERVICE_UNAVAILABLE);
        snapshot.journal.health = "dead".to_owned();
        assert_eq!(status(Page::Health, &snapshot), StatusCode::SERVICE_UNAVAILABLE);
    }
}
