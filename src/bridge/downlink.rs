//! What the server publishes to us: accepted once, then acknowledged.
//!
//! A PUBACK or PUBREC is sent when the broker has accepted the message, on disk where anybody durable wants it.
//! The identifiers of QoS 2 messages are kept in memory only: after a restart one of them may come twice.

use std::collections::BTreeMap;

use crate::durable::DropReason;
use crate::flow::{Inbound, Publication};
use crate::mqtt::{Acknowledgement, Packet, PacketIdentifier, ProtocolVersion, PublishQoS, ReasonCode};

/// What to do with a PUBLISH of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Hand it to the broker under this token.
    Ingest { token: u64 },
    /// It was accepted before: answer again.
    Answer(Packet),
    /// It is with the broker already: the answer will come.
    Pending,
    /// The server has more open than it may `[MQTT-3.3.4-9]`.
    TooMany,
}

#[derive(Debug)]
struct Pending {
    qos: PublishQoS,
    /// On which connection it came, or came last.
    connection: u64,
}

#[derive(Debug)]
pub(super) struct Downlink {
    version: ProtocolVersion,
    maximum: u16,
    inbound: Inbound,
    pending: BTreeMap<u64, Pending>,
    next_token: u64,
    connection: u64,
}

impl Downlink {
    /// At most `maximum` open at once; 3.1.1 has no way to tell the server, so there identifiers are the limit.
    pub(super) fn new(version: ProtocolVersion, maximum: u16) -> Downlink {
        let maximum = if version == ProtocolVersion::V5 { maximum } else { u16::MAX };
        let inbound = Inbound::new(maximum);
        Downlink { version, maximum, inbound, pending: BTreeMap::new(), next_token: 0, connection: 0 }
    }

    /// A new connection: acknowledgements of QoS 1 for the old one mean nothing on it.
    pub(super) fn connected(&mut self, session_present: bool) {
        self.connection += 1;
        if !session_present {
            self.inbound.forget();
        }
    }

    pub(super) fn published(&mut self, qos: PublishQoS) -> Arrival {
        if self.pending.len() >= usize::from(self.maximum) && qos != PublishQoS::AtMostOnce {
            return Arrival::TooMany;
        }
        if let PublishQoS::ExactlyOnce(identifier) = qos {
            match self.inbound.published(identifier) {
                Publication::New => {}
                Publication::TooMany => return Arrival::TooMany,
                Publication::Repeated => return self.repeated(qos, identifier),
            }
        }
        let token = self.next_token;
        self.next_token += 1;
        if qos != PublishQoS::AtMostOnce {
            self.pending.insert(token, Pending { qos, connection: self.connection });
        }
        Arrival::Ingest { token }
    }

    fn repeated(&mut self, qos: PublishQoS, identifier: PacketIdentifier) -> Arrival {
        match self.pending.values_mut().find(|pending| pending.qos == qos) {
            Some(pending) => {
                pending.connection = self.connection;
                Arrival::Pending
            }
            None => Arrival::Answer(Packet::PubRec(Acknowledgement::new(identifier, ReasonCode::Success))),
        }
    }

    /// The broker accepted or refused what it was handed: the answer to the server, if there is one.
    pub(super) fn accepted(&mut self, token: u64, outcome: Result<(), DropReason>) -> Option<Packet> {
        let pending = self.pending.remove(&token)?;
        let reason = match outcome {
            Ok(()) => ReasonCode::Success,
            Err(_) => ReasonCode::QuotaExceeded,
        };
        if reason.is_error()
            && let PublishQoS::ExactlyOnce(identifier) = pending.qos
        {
            self.inbound.refused(identifier);
        }
        // 3.1.1 knows no refusal: what is not acknowledged comes again on the next connection.
        let silent = reason.is_error() && self.version != ProtocolVersion::V5;
        if silent || pending.connection != self.connection {
            return None;
        }
        match pending.qos {
            PublishQoS::AtMostOnce => None,
            PublishQoS::AtLeastOnce(identifier) => {
                Some(Packet::PubAck(Acknowledgement::new(identifier, reason)))
            }
            PublishQoS::ExactlyOnce(identifier) => {
                Some(Packet::PubRec(Acknowledgement::new(identifier, reason)))
            }
        }
    }

    /// PUBREL: PUBCOMP is the answer either way `[MQTT-4.3.3-11]`.
    pub(super) fn released(&mut self, identifier: PacketIdentifier) -> Packet {
        let known = self.inbound.released(identifier);
        let reason = match (known, self.version) {
            (false, ProtocolVersion::V5) => ReasonCode::PacketIdentifierNotFound,
            _ => ReasonCode::Success,
        };
        Packet::PubComp(Acknowledgement::new(identifier, reason))
    }
}
