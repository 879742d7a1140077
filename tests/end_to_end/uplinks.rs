//! Uplinks over TLS and WebSocket to Debian's mosquitto; servers that stand in for each other; certificates and
//! passwords that are wrong and then right.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::BytesMut;
use tidegate::mqtt::{Decoder, Packet};

use crate::authority::{Authority, Identity};
use crate::mosquitto::{Mosquitto, free_port};
use crate::program::{PATIENCE, Program};

fn uplink(urls: &str, more: &str) -> String {
    format!("[uplink.cloud]\nurl = {urls}\nclient_id = \"gw\"\nforward = [\"t/#\"]\n{more}\n")
}

fn publish(program: &Program, text: &str) {
    let url = format!("mqtt://{}", program.address);
    // By stdin, which takes any length.
    let mut publisher = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["pub", "--url", &url, "t/x"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    publisher.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = publisher.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn encrypted(identity: &Identity, ca: &Path, with_clients: bool) -> String {
    let files = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\n",
        ca.display(),
        identity.cert.display(),
        identity.key.display()
    );
    if with_clients { format!("{files}require_certificate true\n") } else { files }
}

#[test]
fn messages_go_up_over_tls_with_a_client_certificate_and_over_websocket() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "cloud");
    let server = authority.sign("server", &["localhost"]);
    let client = authority.sign("gw", &["gw.invalid"]);
    let (tls, ws, wss) = (free_port(), free_port(), free_port());
    let listeners = format!(
        "listener {tls}\n{}listener {ws}\nprotocol websockets\nlistener {wss}\nprotocol websockets\n{}",
        encrypted(&server, &authority.ca, true),
        encrypted(&server, &authority.ca, false)
    );
    let Some(mosquitto) = Mosquitto::start(folder.path(), &listeners) else { return };
    let files =
        format!("tls = {{ ca = {:?}, cert = {:?}, key = {:?} }}", authority.ca, client.cert, client.key);
    for (number, (url, more)) in [
        (format!("\"mqtts://localhost:{tls}\""), files.as_str()),
        (format!("\"ws://localhost:{ws}/mqtt\""), ""),
        (format!("\"wss://localhost:{wss}/mqtt\""), &files),
    ]
    .into_iter()
    .enumerate()
    {
        let mut observer = mosquitto.observe();
        let program = Program::start(&uplink(&url, more));
        publish(&program, &format!("number {number}"));
        observer.wait_for(&format!("got: t/x number {number}"));
        // Much at once: more than a frame, a record, a socket's buffer.
        let large = "y".repeat(500_000);
        publish(&program, &large);
        observer.wait_for(&large);
    }
}

/// The state says what is wrong; when it is right again, what waited arrives.
#[test]
fn a_certificate_that_is_expired_wrong_or_unknown_is_told_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "cloud");
    let others = Authority::new(folder.path(), "others");
    let good = authority.sign("server", &["localhost"]);
    let expired = authority.sign_expired("expired", &["localhost"]);
    let elsewhere = authority.sign("elsewhere", &["elsewhere.invalid"]);
    let strange = others.sign("strange", &["localhost"]);
    let tls = free_port();
    let listener =
        |identity: &Identity| format!("listener {tls}\n{}", encrypted(identity, &authority.ca, false));
    let Some(mut mosquitto) = Mosquitto::start(folder.path(), &listener(&expired)) else { return };
    let files = format!("tls = {{ ca = {:?} }}", authority.ca);
    let program = Program::start(&uplink(&format!("\"mqtts://localhost:{tls}\""), &files));
    publish(&program, "kept meanwhile");
    program.wait_for_line("the certificate has expired");
    mosquitto.restart_with(&listener(&elsewhere));
    program.wait_for_line("it names elsewhere.invalid, not localhost");
    mosquitto.restart_with(&listener(&strange));
    program.wait_for_line("unknown CA");
    mosquitto.down();
    program.wait_for_line("connection refused");
    mosquitto.restart_with(&listener(&good));
    let mut observer = mosquitto.observe();
    publish(&program, "and now");
    observer.wait_for("and now");
}

#[test]
fn of_several_servers_the_next_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut one) = Mosquitto::prepare(folder.path(), "") else { return };
    let Some(mut other) = Mosquitto::start(folder.path(), "") else { return };
    let urls = format!("[\"mqtt://127.0.0.1:{}\", \"mqtt://127.0.0.1:{}\"]", one.port, other.port);
    let mut observer = other.observe();
    let program = Program::start(&uplink(&urls, ""));
    publish(&program, "to the second");
    observer.wait_for("got: t/x to the second");
    one.up();
    let mut observer = one.observe();
    other.down();
    publish(&program, "to the first");
    observer.wait_for("got: t/x to the first");
}

/// A password that is renewed in its file counts from the next connection on, and is nowhere in the log.
#[test]
fn a_password_is_read_anew_for_each_connection_and_never_logged() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "old-secret\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("\"mqtt://{}\"", listener.local_addr().unwrap());
    let login = format!("username = \"gw\"\npassword = \"file:{}\"", secret.display());
    let program = Program::start(&uplink(&url, &login));
    for (password, next) in [("old-secret", "new-secret"), ("new-secret", "")] {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut decoder, mut bytes) = (Decoder::of_client(1 << 16), BytesMut::new());
        let connect = loop {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).unwrap();
            bytes.extend_from_slice(&some[..count]);
            if let Some((Packet::Connect(connect), _)) = decoder.decode(&mut bytes).unwrap() {
                break connect;
            }
        };
        assert_eq!(connect.username.as_deref(), Some("gw"));
        assert_eq!(connect.password.as_deref(), Some(password.as_bytes()));
        std::fs::write(&secret, next).unwrap();
        // Bad User Name or Password.
        stream.write_all(&[0x20, 3, 0, 0x86, 0]).unwrap();
    }
    program.wait_for_line("user name or password is wrong");
    program.wait_for_line("is empty");
    let log = program.log();
    assert!(!log.contains("old-secret") && !log.contains("new-secret"), "{log}");
}

/// A thousand gateways can be watched from their server: what each says of itself goes there, retained.
#[test]
fn a_gateways_figures_go_up_and_its_uplinks_stand_below_sys() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mosquitto) = Mosquitto::start(folder.path(), "") else { return };
    let mut observer = mosquitto.observe();
    let program = Program::start(&uplink(&format!("\"mqtt://127.0.0.1:{}\"", mosquitto.port), ""));
    observer.wait_for(r#"got: tidegate/gw/info {"version":""#);
    observer.wait_for(r#"got: tidegate/gw/metrics {"health":""#);
    let state = "$SYS/broker/connection/cloud/state";
    for look in 0.. {
        let mut command = Command::new("mosquitto_sub");
        let output =
            command.args(["-p", &program.port(), "-t", state, "-C", "1", "-W", "30"]).output().unwrap();
        if output.stdout == b"1\n" {
            break;
        }
        assert!(look < 300, "the state is {output:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
