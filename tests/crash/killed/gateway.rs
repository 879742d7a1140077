//! The real gateway as a process, with a journal that is small enough to make room all the time.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

pub(super) struct Gateway {
    child: Child,
    port: u16,
}

impl Gateway {
    /// `room`: the journal's `max_bytes`. Nothing is dropped: a full journal withholds acknowledgements.
    pub(super) fn start(folder: &Path, room: &str) -> Gateway {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let configuration = folder.join("tidegate.toml");
        let text = format!(
            "[gateway]\nid = \"killed\"\ndata_dir = \"{}\"\n[broker]\nmax_queued_messages = 100000000\n\
             max_queued_bytes = 10000000000\nreceive_maximum = 1000\n[journal]\nmax_bytes = \"{room}\"\n\
             when_full = \"block\"\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n",
            folder.join("data").display()
        );
        fs::write(&configuration, text).unwrap();
        let log = fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--config", configuration.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Gateway { child, port }
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// A session that outlives its connection.
    pub(super) fn connect(&self, client: &str) -> TcpStream {
        let start = Instant::now();
        let mut socket = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(socket) => break socket,
                Err(error) => assert!(start.elapsed() < PATIENCE, "nobody listens: {error}"),
            }
            thread::yield_now();
        };
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = [0x10, 12 + client.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 0, 0];
        socket.write_all(&[&head, [client.len() as u8].as_slice(), client.as_bytes()].concat()).unwrap();
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[3], 0, "refused");
        socket
    }

    /// Somebody who wants what is below `topic` at QoS 2, and is away from then on.
    pub(super) fn subscribe(&self, client: &str, topic: &str) {
        let mut socket = self.connect(client);
        let filter = format!("{topic}/#");
        let head = [0x82, 5 + filter.len() as u8, 0, 1, 0, filter.len() as u8];
        socket.write_all(&[&head, filter.as_bytes(), &[2]].concat()).unwrap();
        let mut answer = [0; 5];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[4], 2);
        socket.write_all(&[0xE0, 0]).unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of what was killed.
    pub(super) fn buried(mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
