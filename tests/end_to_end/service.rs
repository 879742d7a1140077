//! The program as a service: when it is ready, what a signal does, what keeps it from starting and what does not.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::program::{PATIENCE, Program};

/// The contract: SIGTERM ends it cleanly within 5 s, exit 0.
#[test]
fn sigterm_ends_it_cleanly() {
    let program = Program::start("");
    let (status, took) = program.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn sigterm_ends_it_also_while_a_listener_cannot_be_opened() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let program = Program::start(&format!("[[listener]]\naddress = \"{address}\"\n"));
    program.wait_for_line("it is tried again");
    let (status, took) = program.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_listener_whose_port_is_taken_opens_when_it_is_free_and_the_others_serve_meanwhile() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let program = Program::start(&format!("[[listener]]\naddress = \"{address}\"\n"));
    program.wait_for_line(&format!("cannot listen on {address}"));
    assert!(std::net::TcpStream::connect(program.address).is_ok(), "the other listener serves");
    drop(taken);
    program.wait_for_line(&format!("listening on {address}"));
}

/// `READY=1` when the listeners are open, `WATCHDOG=1` while it lives, `STOPPING=1` at the end.
#[test]
fn systemd_is_told_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let wait_for = |wanted: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = systemd.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let environment = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    let program = Program::start_with("", &environment);
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    program.signal(Signal::HUP);
    wait_for("RELOADING=1");
    wait_for("READY=1");
    program.wait_for_line("nothing has changed");
    let (status, _) = program.terminate();
    assert_eq!(status.code(), Some(0));
    wait_for("STOPPING=1");
}

#[test]
fn a_reload_opens_and_closes_listeners_and_keeps_connections() {
    let program = Program::start("");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    program.reconfigure(&format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n"));
    program.signal(Signal::HUP);
    program.wait_for_line(&format!("listening on 127.0.0.1:{port}"));
    program.reconfigure("[journal]\nmax_age = \"1d\"\n");
    program.signal(Signal::HUP);
    program.wait_for_line(&format!("no longer listening on 127.0.0.1:{port}"));
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it is closed again");
    program.wait_for_line("a restart is needed for [journal]");
    program.reconfigure("no = \"sense\"\n");
    program.signal(Signal::HUP);
    program.wait_for_line("the configuration stays as it is");
    assert!(std::net::TcpStream::connect(program.address).is_ok(), "the first one was never touched");
}

/// Two gateways cannot share one journal: the second says so and ends with 1.
#[test]
fn a_second_gateway_in_the_same_folder_does_not_start() {
    let program = Program::start("");
    let second = program.run_another().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
}
