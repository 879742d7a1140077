//! What must hold whatever several peers send to one broker, over connections that break and a gateway that restarts:
//! no panic; whatever the broker says is a sound packet; CONNACK comes first and once; nothing follows a refusal.

use tidegate::broker::ConnectionId;
use tidegate::mqtt::Packet;

use super::site::Site;

const PEERS: usize = 4;

/// Plays a script: bytes of peers, ends of connections, time, restarts.
///
/// Each order is a byte: who (two bits), what (three bits); most are followed by a length and so many bytes.
pub(crate) fn fuzz_connection(data: &[u8]) {
    let mut stage = Stage::new();
    let mut rest = data;
    while let Some((&order, behind)) = rest.split_first() {
        rest = behind;
        let who = usize::from(order & 0b11);
        match order >> 2 & 0b111 {
            5 => stage.lose(who),
            6 => stage.site.wait(u64::from(order >> 5) * 40),
            7 if order >> 5 == 0 => stage = stage.restart(),
            _ => {
                let Some((&length, behind)) = rest.split_first() else { return };
                let (bytes, behind) = behind.split_at(usize::from(length).min(behind.len()));
                rest = behind;
                stage.site.send_bytes(stage.peers[who].connection, bytes);
            }
        }
        stage.look();
    }
}

struct Stage {
    site: Site,
    peers: [Peer; PEERS],
}

#[derive(Clone, Copy)]
struct Peer {
    connection: ConnectionId,
    is_greeted: bool,
    is_refused: bool,
}

impl Peer {
    fn new(site: &mut Site) -> Peer {
        Peer { connection: site.open(), is_greeted: false, is_refused: false }
    }
}

impl Stage {
    fn new() -> Stage {
        Stage::on(Site::new())
    }

    fn on(mut site: Site) -> Stage {
        let peers = std::array::from_fn(|_| Peer::new(&mut site));
        Stage { site, peers }
    }

    fn restart(self) -> Stage {
        Stage::on(self.site.restart())
    }

    fn lose(&mut self, who: usize) {
        self.site.lose(self.peers[who].connection);
        self.look();
        self.peers[who] = Peer::new(&mut self.site);
    }

    /// What was said is sound and in order; who was cut off comes back.
    fn look(&mut self) {
        for place in 0..PEERS {
            let (packets, is_closed) = self.site.take(self.peers[place].connection);
            let peer = &mut self.peers[place];
            for packet in &packets {
                assert!(!peer.is_refused, "{packet:?} behind a refusal");
                let is_connack = matches!(packet, Packet::ConnAck(_));
                assert_eq!(is_connack, !peer.is_greeted, "{packet:?}");
                peer.is_greeted = true;
                peer.is_refused = match packet {
                    Packet::ConnAck(answer) => answer.reason.is_error(),
                    Packet::Disconnect(_) => true,
                    _ => false,
                };
            }
            assert!(is_closed || !peer.is_refused, "a refusal closes");
            if is_closed {
                self.peers[place] = Peer::new(&mut self.site);
            }
        }
    }
}
