//! Bytes that are no MQTT: they end their own connection and nobody else's.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::program::{PATIENCE, Program};

/// CONNECT of 3.1.1 with the client identifier "x", clean session, no keep-alive.
const CONNECT: &[u8] = &[0x10, 0x0D, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'x'];
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

/// Sends bytes and reads until the broker closes; what it said.
fn send_and_wait_for_the_end(program: &Program, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The broker may close before it read everything.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    said
}

/// A connected client that can tell whether it still is.
struct Witness(TcpStream);

impl Witness {
    fn connect(program: &Program, client_id: u8) -> Witness {
        let mut stream = TcpStream::connect(program.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connect = CONNECT.to_vec();
        *connect.last_mut().unwrap() = client_id;
        stream.write_all(&connect).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, CONNACK);
        Witness(stream)
    }

    fn is_served(&mut self) {
        self.0.write_all(&[0xC0, 0]).unwrap();
        let mut answer = [0; 2];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0xD0, 0], "PINGRESP");
    }
}

#[test]
fn garbage_before_connect_ends_only_its_own_connection() {
    let program = Program::start("");
    let mut witness = Witness::connect(&program, b'w');
    let samples: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x00; 64],
        &[0xFF; 64],
        // A Remaining Length of 256 MiB, and of five bytes.
        &[0x10, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        // Packets that cannot come first, or never from a client.
        &[0x30, 3, 0, 1, b'a'],
        &[0x82, 6, 0, 1, 0, 1, b'a', 0],
        &[0x20, 2, 0, 0],
        &[0xC0, 0],
        // CONNECT with a reserved flag, with a wrong name, cut short.
        &[0x10, 0x0D, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 0, 0, 1, b'x'],
        &[0x10, 0x0D, 0, 4, b'M', b'Q', b'T', b'X', 4, 2, 0, 0, 0, 1, b'x'],
        &[0x10, 0x03, 0, 4, b'M'],
    ];
    for sample in samples {
        send_and_wait_for_the_end(&program, sample);
        witness.is_served();
    }
    // [MQTT-3.1.2-2]: an unknown level is refused by its own code.
    let mut unknown = CONNECT.to_vec();
    unknown[8] = 9;
    let said = send_and_wait_for_the_end(&program, &unknown);
    assert_eq!(said.get(..1), Some(&[0x20][..]), "a CONNACK that refuses: {said:?}");
    witness.is_served();
}

#[test]
fn garbage_after_connect_ends_only_its_own_connection() {
    let program = Program::start("");
    let mut witness = Witness::connect(&program, b'w');
    let samples: &[&[u8]] = &[
        // A second CONNECT [MQTT-3.1.0-2].
        CONNECT,
        // PUBLISH with QoS 3, with a wildcard, with an empty topic, with packet identifier 0.
        &[0x36, 5, 0, 1, b'a', 0, 1],
        &[0x30, 3, 0, 1, b'#'],
        &[0x30, 2, 0, 0],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        // A topic that is not UTF-8, a null character, a length that lies.
        &[0x30, 4, 0, 2, 0xC3, 0x28],
        &[0x30, 3, 0, 1, 0],
        &[0x30, 3, 0xFF, 0xFF, b'a'],
        // SUBSCRIBE without a filter, with wrong flags, with QoS 3.
        &[0x82, 2, 0, 1],
        &[0x80, 6, 0, 1, 0, 1, b'a', 0],
        &[0x82, 6, 0, 1, 0, 1, b'a', 3],
        // Packet type 0, AUTH in 3.1.1, a packet larger than allowed.
        &[0x00, 0],
        &[0xF0, 0],
        &[0x30, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0xFF; 512],
    ];
    for sample in samples {
        let bytes = [CONNECT, sample].concat();
        let said = send_and_wait_for_the_end(&program, &bytes);
        assert_eq!(said.get(..4), Some(&CONNACK[..]), "{sample:?}");
        assert_eq!(said.len(), 4, "3.1.1 has no DISCONNECT from the server: {said:?} after {sample:?}");
        witness.is_served();
    }
}

#[test]
fn a_packet_split_into_single_bytes_is_understood() {
    let program = Program::start("");
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for byte in CONNECT.iter().chain(&[0xC0, 0]) {
        stream.write_all(&[*byte]).unwrap();
        stream.flush().unwrap();
    }
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0, 0xD0, 0]);
}
