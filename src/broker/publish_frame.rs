//! PUBLISH packets encoded once for many receivers.
//!
//! The driver patches the packet identifier and DUP while it writes; everything else is the same for all who get
//! the message in the same version, with the same QoS, retain flag and subscription identifiers. Never decides
//! who gets what.

use std::num::NonZeroU32;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::durable::{Boots, Message, MessageBody};
use crate::mqtt::{EncodedPublish, OutgoingPublish, ProtocolVersion, QoS};

use super::Renderer;
use super::aliases::Naming;

/// Identifiers of the subscriptions that a message matched.
pub(super) type Identifiers = SmallVec<[NonZeroU32; 1]>;

/// A PUBLISH encoded once, to be sent to many: only flags and packet identifier differ.
pub type PublishFrame = EncodedPublish;

/// The same frame with another message expiry interval; as it is when it has none.
pub(super) fn with_message_expiry(frame: PublishFrame, seconds: u32) -> PublishFrame {
    let Some(at) = frame.message_expiry_at else {
        return frame;
    };
    let mut bytes = BytesMut::from(&*frame.bytes);
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&seconds.to_be_bytes());
    }
    PublishFrame { bytes: bytes.freeze(), ..frame }
}

/// Which of the encodings of one message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant<'a> {
    pub(super) version: ProtocolVersion,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) subscription_identifiers: &'a [NonZeroU32],
    /// How it names its topic (5.0).
    pub(super) naming: Naming,
}

/// The encodings made so far of the message that is being handed out.
#[derive(Debug, Default)]
pub(super) struct Frames {
    made: Vec<Made>,
    /// Whether a frame is worth remembering: more than one recipient is to come.
    is_shared: bool,
    rendered: Option<Bytes>,
    message_expiry_seconds: Option<u32>,
}

#[derive(Debug)]
struct Made {
    is_v5: bool,
    qos: QoS,
    retain: bool,
    subscription_identifiers: Identifiers,
    naming: Naming,
    frame: PublishFrame,
}

impl Frames {
    /// Begins with another message, which has so many seconds left and so many recipients.
    pub(super) fn begin(&mut self, message_expiry_seconds: Option<u32>, recipients: usize) {
        self.made.clear();
        self.is_shared = recipients > 1;
        self.rendered = None;
        self.message_expiry_seconds = message_expiry_seconds;
    }

    /// The frame of this variant of `message`, which is the one begun with. `None`: it is longer than any packet.
    pub(super) fn frame(
        &mut self,
        renderer: &Renderer,
        boots: &Boots,
        message: &Message,
        variant: Variant<'_>,
    ) -> Option<PublishFrame> {
        let is_v5 = variant.version == ProtocolVersion::V5;
        let identifiers = if is_v5 { variant.subscription_identifiers } else { &[] };
        let same = |made: &&Made| {
            made.is_v5 == is_v5
                && made.qos == variant.qos
                && made.retain == variant.retain
                && made.naming == variant.naming
                && *made.subscription_identifiers == *identifiers
        };
        if let Some(made) = self.made.iter().find(same) {
            return Some(made.frame.clone());
        }
        let frame =
            encode(renderer, boots, message, variant, self.message_expiry_seconds, &mut self.rendered)?;
        if !self.is_shared {
            return Some(frame);
        }
        self.made.push(Made {
            is_v5,
            qos: variant.qos,
            retain: variant.retain,
            subscription_identifiers: identifiers.into(),
            naming: variant.naming,
            frame: frame.clone(),
        });
        Some(frame)
    }
}

/// Encodes one variant of a message that is sent to one receiver only.
pub(super) fn encode_once(
    renderer: &Renderer,
    boots: &Boots,
    message: &Message,
    variant: Variant<'_>,
    message_expiry_seconds: Option<u32>,
) -> Option<PublishFrame> {
    encode(renderer, boots, message, variant, message_expiry_seconds, &mut None)
}

fn encode(
    renderer: &Renderer,
    boots: &Boots,
    message: &Message,
    variant: Variant<'_>,
    message_expiry_interval_seconds: Option<u32>,
    rendered: &mut Option<Bytes>,
) -> Option<PublishFrame> {
    let (payload, properties) = match &message.body {
        MessageBody::Publish { payload, properties } => (payload, properties.as_deref()),
        MessageBody::Reading(reading) => {
            (&*rendered.get_or_insert_with(|| renderer.render(reading, boots)), None)
        }
    };
    let is_v5 = variant.version == ProtocolVersion::V5;
    let publish = OutgoingPublish {
        qos: variant.qos,
        retain: variant.retain,
        topic: Some(&message.topic).filter(|_| !matches!(variant.naming, Naming::Alias(_))),
        topic_alias: variant.naming.alias(),
        payload,
        properties,
        added_user_property: None,
        message_expiry_interval_seconds,
        subscription_identifiers: if is_v5 { variant.subscription_identifiers } else { &[] },
    };
    publish.encode(variant.version).ok()
}
