//! The status over HTTP, asked with bare sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::program::{PATIENCE, Program};

/// Every page of the running program answers, and says the same as the others.
#[test]
fn the_dashboard_shows_the_running_gateway() {
    let program = Program::start("[http]\naddress = \"127.0.0.1:0\"\n");
    let line = program.wait_for_line("the dashboard is at http://");
    let address = line.rsplit_once("http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    let (head, body) = get(address, "/", "localhost");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("default-src 'none'"), "{head}");
    assert!(body.contains("<title>Tidegate</title>"), "{body}");
    let (head, body) = get(address, "/api/status", "localhost");
    assert!(head.contains("application/json"), "{head}");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["gateway"], "gw");
    assert_eq!(status["broker"]["listeners"][0], program.address.to_string());
    let (head, body) = get(address, "/metrics", "localhost");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.lines().any(|line| line == "tidegate_clients_connected 0"), "{body}");
    for path in ["/health", "/ready"] {
        let (head, body) = get(address, path, "localhost");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head} {body}");
    }
    assert!(get(address, "/nothing", "localhost").0.starts_with("HTTP/1.1 404"));
    assert!(get(address, "/api/status", "evil.example").0.starts_with("HTTP/1.1 421"));
    let garbage = exchange(address, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\r\n\r\n");
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
}

pub(crate) fn get(address: SocketAddr, path: &str, host: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    // A connection that is reset after garbage is an answer, too.
    let _ = stream.read_to_string(&mut answer);
    answer
}
