//! Listeners of every kind, as other people's clients see them: TLS with and without client certificates, WebSocket,
//! Unix sockets, sockets of systemd, the PROXY protocol; certificates that are renewed, callers that dawdle.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;
use tidegate::stream::{ClientTls, Route, Stream, Url};

use crate::authority::{Authority, Identity};
use crate::program::{PATIENCE, Program};
use crate::skip;

const CONNECT: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01a";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        skip(&format!("{program} is not installed"));
    }
    found.is_ok()
}

fn tls_of(identity: &Identity, client_ca: Option<&Path>) -> String {
    let ca = client_ca.map(|ca| format!(", client_ca = {ca:?}")).unwrap_or_default();
    format!("tls = {{ cert = {:?}, key = {:?}{ca} }}\n", identity.cert, identity.key)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn tidegate(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_tidegate"), arguments)
}

#[track_caller]
fn assert_good(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn mosquittos_clients_come_over_tls_with_a_certificate_and_not_without() {
    if !has("mosquitto_pub") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "site");
    let server = authority.sign("server", &["localhost", "127.0.0.1"]);
    let client = authority.sign("greenhouse", &["client.invalid"]);
    let stranger = Authority::new(folder.path(), "elsewhere").sign("stranger", &["client.invalid"]);
    let program = Program::start(&tls_of(&server, Some(&authority.ca)));
    let port = program.port();
    let publish = |more: &[&str]| {
        let common = ["-h", "localhost", "-p", &port, "-t", "a", "-m", "b", "-q", "1", "--cafile"];
        run("mosquitto_pub", &[&common[..], &[text(&authority.ca)], more].concat())
    };
    let with = |identity: &Identity| [text(&identity.cert).to_owned(), text(&identity.key).to_owned()];
    let [cert, key] = with(&client);
    for version in ["tlsv1.2", "tlsv1.3"] {
        assert_good(&publish(&["--cert", &cert, "--key", &key, "--tls-version", version]));
    }
    assert!(!publish(&[]).status.success(), "no certificate");
    let [cert, key] = with(&stranger);
    assert!(!publish(&["--cert", &cert, "--key", &key]).status.success(), "of another authority");
    program.wait_for_line(": TLS: ");
    // Our own client, too; and a connection without TLS is no way around it.
    let url = format!("mqtts://localhost:{port}");
    let [cert, key] = with(&client);
    let ours = ["pub", "--url", &url, "--tls-ca", text(&authority.ca), "a", "-m", "b"];
    assert_good(&tidegate(&[&ours[..], &["--tls-cert", &cert, "--tls-key", &key]].concat()));
    let refused = tidegate(&[&ours[..], &["-W", "2"]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("wants a certificate"), "{refused:?}");
    let mut plain = TcpStream::connect(program.address).unwrap();
    plain.write_all(CONNECT).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(CONNACK), "{answer:?}");
}

/// Behind WebSocket, too, nobody gets in without a certificate, and the name in it is the user that rules are about.
#[test]
fn the_name_in_a_certificate_is_a_user_whom_rules_are_about() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "site");
    let server = authority.sign("server", &["localhost"]);
    let rules = "[[acl]]\nuser = \"greenhouse\"\nallow = \"both\"\ntopic = \"%u/#\"\n";
    for (scheme, protocol) in [("mqtts", "mqtt"), ("wss", "websocket")] {
        let tls = tls_of(&server, Some(&authority.ca));
        let program = Program::start(&format!("protocol = \"{protocol}\"\n{tls}{rules}"));
        let url = format!("{scheme}://localhost:{}", program.port());
        let publish = |identity: Option<&Identity>, topic: &str| {
            let common = ["pub", "--url", &url, "--tls-ca", text(&authority.ca), topic, "-m", "b", "-W", "5"];
            let mut arguments = common.to_vec();
            if let Some(identity) = identity {
                arguments.extend(["--tls-cert", text(&identity.cert), "--tls-key", text(&identity.key)]);
            }
            tidegate(&arguments).status.success()
        };
        let ours = authority.sign("greenhouse", &["client.invalid"]);
        let other = authority.sign("cellar", &["client.invalid"]);
        assert!(publish(Some(&ours), "greenhouse/x"), "{scheme}");
        assert!(!publish(Some(&ours), "cellar/x"), "{scheme}");
        assert!(!publish(Some(&other), "greenhouse/x"), "{scheme}");
        assert!(!publish(None, "greenhouse/x"), "{scheme}");
    }
}

/// The certificate that a server shows to a client that trusts this authority.
fn shown(port: &str, ca: &Path) -> (Stream, Vec<u8>) {
    let url = Url::parse(&format!("mqtts://localhost:{port}")).unwrap();
    let tls = ClientTls { ca: Some(ca.to_owned()), ..ClientTls::default() };
    let route = Route { tls, ..Route::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(route.open(&url)).unwrap();
    let Stream::Tls(tls) = &stream else { panic!("{stream:?}") };
    let shown = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    (stream, shown)
}

#[test]
fn a_renewed_certificate_counts_for_who_comes_next_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "site");
    let server = authority.sign("server", &["localhost"]);
    let configuration = tls_of(&server, None);
    let program = Program::start(&configuration);
    let (_, first) = shown(&program.port(), &authority.ca);
    // Written over the old files.
    authority.sign("server", &["localhost"]);
    program.signal(Signal::HUP);
    program.wait_for_line("new connections get the certificate");
    let (_, second) = shown(&program.port(), &authority.ca);
    assert_ne!(first, second);
    std::fs::write(&server.cert, "damaged").unwrap();
    program.wait_for_line("the certificates stay as they are");
    let (_, third) = shown(&program.port(), &authority.ca);
    assert_eq!(second, third);
    // Changed files are noticed without a signal.
    authority.sign("server", &["localhost", "renewed.invalid"]);
    let mut found = third.clone();
    let deadline = std::time::Instant::now() + PATIENCE;
    while found == third && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(200));
        found = shown(&program.port(), &authority.ca).1;
    }
    assert_ne!(found, third);
}

#[test]
fn who_dawdles_or_talks_garbage_before_tls_is_done_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "site");
    let server = authority.sign("server", &["localhost"]);
    let program = Program::start(&tls_of(&server, None));
    let mut dawdlers = Vec::new();
    for number in 0..200_u8 {
        let mut stream = TcpStream::connect(program.address).unwrap();
        // Nothing, the begin of a ClientHello, or what is none.
        let begin: &[u8] = match number % 3 {
            0 => &[],
            1 => &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
            _ => &[number; 64],
        };
        let _ = stream.write_all(begin);
        dawdlers.push(stream);
    }
    let url = format!("mqtts://localhost:{}", program.port());
    assert_good(&tidegate(&["pub", "--url", &url, "--tls-ca", text(&authority.ca), "a", "-m", "b"]));
}

#[test]
fn mqtt_goes_through_websocket_plain_and_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "site");
    let server = authority.sign("server", &["localhost"]);
    for (scheme, tls) in [("ws", String::new()), ("wss", tls_of(&server, None))] {
        let program = Program::start(&format!("protocol = \"websocket\"\n{tls}"));
        let url = format!("{scheme}://localhost:{}/any/path", program.port());
        let trust: &[&str] = if tls.is_empty() { &[] } else { &["--tls-ca", text(&authority.ca)] };
        // More than one frame, either way.
        let message = "x".repeat(200_000);
        let file = folder.path().join("message");
        std::fs::write(&file, &message).unwrap();
        let kept = ["pub", "--url", &url, "a", "--retain", "-q", "2", "-f", text(&file)];
        assert_good(&tidegate(&[&kept[..], trust].concat()));
        let got = tidegate(&[&["sub", "--url", &url, "a", "--count", "1", "-W", "20"], trust].concat());
        assert_good(&got);
        assert!(String::from_utf8_lossy(&got.stdout).trim_end() == message, "{scheme}");
    }
}

/// Browsers send the page's origin; nobody else does.
#[test]
fn a_web_page_from_elsewhere_does_not_get_in() {
    let program = Program::start("protocol = \"websocket\"\nallowed_origins = [\"https://ours.example\"]\n");
    let answer = |origin: &str| {
        let mut stream = TcpStream::connect(program.address).unwrap();
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: {origin}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(answer("https://evil.example"), "HTTP/1.1 403");
    assert_eq!(answer("https://ours.example"), "HTTP/1.1 101");
}

#[test]
fn a_unix_socket_serves_and_is_taken_over_after_a_kill() {
    if !has("mosquitto_pub") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("mqtt.sock");
    let configuration = format!("[[listener]]\naddress = \"unix:{}\"\nmode = \"0600\"\n", socket.display());
    let program = Program::start(&configuration);
    program.wait_for_line("listening on unix:");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let publish = || run("mosquitto_pub", &["--unix", text(&socket), "-t", "a", "-m", "b", "-q", "1"]);
    assert_good(&publish());
    let program = program.kill_and_start_again();
    program.wait_for_line("listening on unix:");
    assert_good(&publish());
    program.terminate();
    assert!(!socket.exists(), "it is cleared away");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connects(address: SocketAddr, before_connect: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[before_connect, CONNECT].concat()).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).is_ok() && answer == CONNACK
}

#[test]
fn systemd_hands_a_listening_socket_over() {
    if !has("systemd-socket-activate") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    let text = "[gateway]\nid = \"gw\"\ndata_dir = \"data\"\n[[listener]]\naddress = \"systemd:mqtt\"\n\
                allow_anonymous = true\n";
    std::fs::write(&path, text).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new("systemd-socket-activate")
        .args([
            "--fdname=mqtt",
            "-l",
            &address.to_string(),
            env!("CARGO_BIN_EXE_tidegate"),
            "run",
            "--config",
        ])
        .arg(&path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It starts the gateway in its own place at the first connection.
    let _killed = Killed(child);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !connects(address, &[]) {
        assert!(std::time::Instant::now() < deadline, "nobody answers on the socket");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_load_balancer_says_who_the_client_is() {
    let program = Program::start("proxy_protocol = true\nallow_anonymous = true\n");
    let header = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C".as_slice(),
        &[203, 0, 113, 9, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5B],
    ]
    .concat();
    assert!(connects(program.address, &header));
    let mut without = TcpStream::connect(program.address).unwrap();
    without.write_all(&CONNECT.repeat(2)).unwrap();
    let mut answer = Vec::new();
    let _ = without.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    program.wait_for_line("no PROXY protocol header");
}

/// A listener on IPv6 beside the one on IPv4: mosquitto's clients come by either and meet.
#[test]
fn ipv4_and_ipv6_lead_to_one_broker() {
    if !has("mosquitto_pub") || !has("mosquitto_sub") {
        return;
    }
    let Ok(free) = TcpListener::bind(("::1", 0)) else {
        return skip("there is no IPv6 here");
    };
    let port = free.local_addr().unwrap().port();
    drop(free);
    let program = Program::start(&format!("[[listener]]\naddress = \"[::1]:{port}\"\n"));
    program.wait_for_line(&format!("listening on [::1]:{port}"));
    let (four, six) = (program.address.port().to_string(), port.to_string());
    for (from_host, from, to_host, to) in
        [("::1", &six, "127.0.0.1", &four), ("127.0.0.1", &four, "::1", &six)]
    {
        let message = ["-t", "ip", "-m", from_host, "-q", "1", "-r"];
        assert_good(&run("mosquitto_pub", &[&["-h", from_host, "-p", from], &message[..]].concat()));
        let heard = run("mosquitto_sub", &["-h", to_host, "-p", to, "-t", "ip", "-C", "1", "-W", "10"]);
        assert_eq!(String::from_utf8_lossy(&heard.stdout).trim(), from_host);
    }
}
