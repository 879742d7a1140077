//! A link that can be spoilt, and a server behind it that acknowledges and remembers.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, Socket};
use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, PublishQoS, ReasonCode, encode,
};

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Good,
    /// Nothing comes through, and nobody says so: connections are taken, and bytes, and that is all.
    Swallows,
    /// Every connection is reset, those that are there and those that come.
    Resets,
    /// Nobody listens; what was there is closed.
    Refuses,
}

struct State {
    mood: Mood,
    connections: Vec<(TcpStream, TcpStream)>,
    listener: Option<Arc<TcpListener>>,
}

pub struct Link {
    pub port: u16,
    server: u16,
    state: Arc<Mutex<State>>,
}

impl Link {
    pub fn start(server: u16) -> Link {
        let state = State { mood: Mood::Good, connections: Vec::new(), listener: None };
        let mut link = Link { port: 0, server, state: Arc::new(Mutex::new(state)) };
        link.port = link.listen();
        link
    }

    pub fn is(&self, mood: Mood) {
        let was = {
            let mut state = self.state.lock().unwrap();
            let was = std::mem::replace(&mut state.mood, mood);
            if mood != Mood::Swallows {
                for (one, other) in state.connections.drain(..) {
                    let gone = if mood == Mood::Resets { Some(Duration::ZERO) } else { None };
                    let _ = SockRef::from(&one).set_linger(gone);
                    let how = if mood == Mood::Resets { Shutdown::Read } else { Shutdown::Both };
                    let _ = one.shutdown(how);
                    let _ = other.shutdown(Shutdown::Both);
                }
            }
            if mood == Mood::Refuses
                && let Some(listener) = state.listener.take()
            {
                // Wakes whoever accepts.
                let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
            }
            was
        };
        if was == Mood::Refuses && mood != Mood::Refuses {
            self.listen();
        }
    }

    fn listen(&self) -> u16 {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port).into()).unwrap();
        socket.listen(64).unwrap();
        let listener = Arc::new(TcpListener::from(socket));
        let port = listener.local_addr().unwrap().port();
        self.state.lock().unwrap().listener = Some(Arc::clone(&listener));
        let (server, state) = (self.server, Arc::clone(&self.state));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connect(client, server, &state);
            }
        });
        port
    }
}

fn connect(client: TcpStream, server: u16, state: &Arc<Mutex<State>>) {
    let mut locked = state.lock().unwrap();
    match locked.mood {
        Mood::Refuses => return,
        Mood::Resets => {
            let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            return;
        }
        Mood::Good | Mood::Swallows => {}
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(state));
        thread::spawn(move || pass(from, to, &state));
    }
    locked.connections.push((client, server));
}

fn pass(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        // What was swallowed once never arrives: the connection is of no use afterwards.
        if state.lock().unwrap().mood == Mood::Swallows {
            while let Ok(1..) = from.read(&mut chunk) {}
            break;
        }
        if to.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    if state.lock().unwrap().mood != Mood::Resets {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// A server that takes everything, after a moment each.
pub struct Sink {
    pub port: u16,
    arrived: Arc<Mutex<BTreeSet<u64>>>,
    bytes: Arc<AtomicU64>,
}

impl Sink {
    pub fn start(moment: Duration) -> Sink {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let arrived: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
        let known = Arc::clone(&arrived);
        let bytes: Arc<AtomicU64> = Arc::default();
        let counter = Arc::clone(&bytes);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (known, counter) = (Arc::clone(&known), Arc::clone(&counter));
                thread::spawn(move || serve(stream, moment, &known, &counter));
            }
        });
        Sink { port, arrived, bytes }
    }

    /// Bytes that came and went, of all connections together.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn arrived(&self) -> BTreeSet<u64> {
        self.arrived.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, moment: Duration, arrived: &Mutex<BTreeSet<u64>>, bytes: &AtomicU64) {
    let mut decoder = Decoder::of_client(1 << 20);
    let (mut incoming, mut outgoing, mut chunk) = (BytesMut::new(), BytesMut::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        incoming.extend_from_slice(&chunk[..length]);
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        while let Some((packet, _)) = decoder.decode(&mut incoming).expect("the gateway speaks MQTT") {
            let answer = match packet {
                Packet::Connect(_) => {
                    let (reason, properties) = (ReasonCode::Success, ConnAckProperties::default());
                    Packet::ConnAck(Box::new(ConnAck { session_present: false, reason, properties }))
                }
                Packet::Publish(publish) => {
                    thread::sleep(moment);
                    let number = std::str::from_utf8(&publish.payload).unwrap().parse::<u64>();
                    arrived.lock().unwrap().extend(number);
                    let PublishQoS::AtLeastOnce(identifier) = publish.qos else { continue };
                    Packet::PubAck(Acknowledgement::new(identifier, ReasonCode::Success))
                }
                Packet::PingReq => Packet::PingResp,
                _ => continue,
            };
            encode(decoder.version().unwrap(), &answer, &mut outgoing).unwrap();
            bytes.fetch_add(outgoing.len() as u64, Ordering::Relaxed);
            if stream.write_all(&outgoing.split()).is_err() {
                return;
            }
        }
    }
}
