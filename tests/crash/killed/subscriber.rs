//! Those who are owed what was published: one that is always there and takes everything at once, one that is away until
//! the end.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// What came of each publisher: all numbers where that is wanted, else only how far it came.
#[derive(Default)]
pub(super) struct Received {
    /// The highest number of each publisher at QoS 1: none below it is missing.
    pub(super) highest: BTreeMap<String, u64>,
    /// At QoS 2: all numbers.
    pub(super) once: BTreeMap<String, Vec<u64>>,
}

impl Received {
    fn take(&mut self, publisher: &str, is_qos_2: bool, number: u64) {
        if is_qos_2 {
            return self.once.entry(publisher.to_owned()).or_default().push(number);
        }
        if !self.highest.contains_key(publisher) {
            self.highest.insert(publisher.to_owned(), 0);
        }
        let highest = self.highest.get_mut(publisher).unwrap();
        assert!(number <= *highest + 1, "QoS 1 of {publisher}: {number} comes behind {highest}");
        *highest = number.max(*highest);
    }

    /// How far a publisher's messages came.
    pub(super) fn through(&self, publisher: &str) -> u64 {
        let once = self.once.get(publisher).and_then(|numbers| numbers.last().copied());
        once.or(self.highest.get(publisher).copied()).unwrap_or(0)
    }
}

/// Takes and acknowledges everything until `is_enough`, or until the connection ends. Whether it was enough.
pub(super) fn receive(
    socket: &mut TcpStream,
    received: &mut Received,
    is_enough: impl Fn(&Received) -> bool,
) -> bool {
    let (mut held, mut bytes, mut answers) = (Vec::new(), [0; 1 << 16], Vec::new());
    while !is_enough(received) {
        let Ok(length @ 1..) = socket.read(&mut bytes) else { return false };
        held.extend_from_slice(&bytes[..length]);
        let mut at = 0;
        while at + 2 <= held.len() && at + 2 + held[at + 1] as usize <= held.len() {
            let packet = &held[at..at + 2 + held[at + 1] as usize];
            at += packet.len();
            if packet[0] >> 4 == 3 {
                let topic = 4 + packet[3] as usize;
                let publisher = std::str::from_utf8(&packet[9..topic]).unwrap();
                let number = u64::from_be_bytes(packet[topic + 2..topic + 10].try_into().unwrap());
                let is_qos_2 = packet[0] & 6 == 4;
                received.take(publisher, is_qos_2, number);
                answers.extend([if is_qos_2 { 0x50 } else { 0x40 }, 2, packet[topic], packet[topic + 1]]);
            } else {
                assert_eq!(packet[0], 0x62, "PUBREL");
                answers.extend([0x70, 2, packet[2], packet[3]]);
            }
        }
        held.drain(..at);
        if socket.write_all(&answers).is_err() {
            return false;
        }
        answers.clear();
    }
    true
}
