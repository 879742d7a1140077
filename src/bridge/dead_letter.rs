//! Messages that the server will never take: what is known of them when they are laid aside.

use bytes::Bytes;
use bytestring::ByteString;

use super::forwarder::Forwarder;
use super::identity;
use super::{Event, Output};
use crate::durable::{DropReason, LoadedDelivery};
use crate::mqtt::{QoS, ReasonCode, TopicName};
use crate::time::Moment;

/// A message that the server will never take.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its name, the same as at the server.
    pub id: ByteString,
    /// When it was accepted.
    pub accepted_at: Moment,
    /// When it was given up.
    pub given_up_at: Moment,
    /// What it is called here.
    pub topic: TopicName,
    /// Its quality of service.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// What it says, as it would have been sent.
    pub payload: Bytes,
    /// Why, as it is counted.
    pub reason: DropReason,
    /// Why, in words.
    pub detail: String,
}

/// Why a message cannot be sent, now or ever.
#[derive(Debug)]
pub(super) struct Unsendable {
    pub(super) reason: DropReason,
    pub(super) detail: String,
}

/// What a reason code of PUBACK or PUBREC means for the message.
pub(super) const fn is_temporary(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::QuotaExceeded
            | ReasonCode::MessageRateTooHigh
            | ReasonCode::ReceiveMaximumExceeded
            | ReasonCode::ServerBusy
            | ReasonCode::PacketIdentifierInUse
    )
}

impl Forwarder {
    /// Drops a delivery; one that the server will never take is laid aside first.
    pub(super) fn give_up(
        &mut self,
        now: Moment,
        loaded: &LoadedDelivery,
        why: &Unsendable,
        out: &mut Vec<Output>,
    ) {
        let forever = matches!(
            why.reason,
            DropReason::PacketTooLarge | DropReason::TopicNotAllowed | DropReason::Refused
        );
        if forever {
            self.status.dead_letters += 1;
            let message = &loaded.message;
            out.push(Output::DeadLetter(Box::new(DeadLetter {
                id: identity::name_of(&self.options.gateway, loaded).into(),
                accepted_at: message.accepted_at,
                given_up_at: now,
                topic: message.topic.clone(),
                qos: loaded.delivery.qos,
                retain: loaded.delivery.retain,
                payload: self.payload(&message.body),
                reason: why.reason,
                detail: why.detail.clone(),
            })));
        }
        self.drop_delivery((loaded.delivery.consumer, loaded.sequence), why.reason, out);
    }

    /// Says that messages were dropped; neighbours are said together.
    pub(super) fn tell_dropped(more: u64, why: DropReason, out: &mut Vec<Output>) {
        let is_for_journal = |output: &Output| matches!(output, Output::Append { .. } | Output::Done { .. });
        let last = out.iter_mut().rev().find(|output| !is_for_journal(output));
        match last {
            Some(Output::Event(Event::Dropped { count, reason })) if *reason == why => *count += more,
            _ => out.push(Output::Event(Event::Dropped { count: more, reason: why })),
        }
    }
}
