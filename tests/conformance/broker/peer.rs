//! Debian's mosquitto on a port of the system's choice, and clients that speak to it over sockets through our codec.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::mqtt::{Decoder, Packet, ProtocolVersion, encode};

pub struct Mosquitto {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    /// A running server; `None`, and the skip counted, where mosquitto is not installed.
    pub fn start() -> Option<Mosquitto> {
        let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
        let Some(program) = places.iter().map(PathBuf::from).find(|path| path.exists()) else {
            skip("mosquitto is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own_name = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser {own_name}\npersistence false\n\
             max_queued_messages 0\nmax_inflight_messages 100\nset_tcp_nodelay true\n"
        );
        let path = folder.path().join("mosquitto.conf");
        std::fs::write(&path, configuration).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let mosquitto = Mosquitto { process: command.spawn().unwrap(), port, _folder: folder };
        let is_up = (0..500).any(|_| {
            let is_up = TcpStream::connect(("127.0.0.1", port)).is_ok();
            if !is_up {
                std::thread::sleep(Duration::from_millis(20));
            }
            is_up
        });
        assert!(is_up, "mosquitto does not listen");
        Some(mosquitto)
    }

    /// A connection, and its CONNECT.
    pub fn connect(&self, hello: super::packets::Hello) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let version = hello.0.version;
        let decoder = Decoder::of_server(version, usize::MAX);
        let mut socket = Socket { stream, version, decoder, incoming: BytesMut::new() };
        socket.send(&hello.into());
        socket
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One client's connection.
pub struct Socket {
    stream: TcpStream,
    version: ProtocolVersion,
    decoder: Decoder,
    incoming: BytesMut,
}

impl Socket {
    pub fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(self.version, packet, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next packet; `None` when the server has closed.
    pub fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, _)) = self.decoder.decode(&mut self.incoming).unwrap() {
                return Some(packet);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).expect("the server answers within half a minute") {
                0 => return None,
                length => self.incoming.extend_from_slice(&bytes[..length]),
            }
        }
    }

    /// Says nothing more, and waits until the server has seen it.
    pub fn close(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        while self.next().is_some() {}
    }
}

/// Says aloud that a test is not run, where `.ci/run` counts it.
fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    if let Some(file) = std::env::var_os("TIDEGATE_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}
