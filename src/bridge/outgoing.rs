//! What is said to the server, packet by packet: PUBLISH packets are written one behind the other into one run of bytes,
//! for they are as many as messages; each of the others is an output of its own. Knows no order but that in which it
//! is told.

use bytes::BytesMut;

use super::Output;
use super::options::Options;
use super::publication::publish;
use super::window::Parcel;
use crate::mqtt::{PacketIdentifier, QoS};
use crate::time::Moment;

/// A run of PUBLISH packets is handed over when it has so many bytes.
const RUN_BYTES: usize = 64 * 1024;

/// With what a PUBLISH is numbered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) qos: QoS,
    /// None at QoS 0.
    pub(super) identifier: Option<PacketIdentifier>,
    pub(super) dup: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    run: BytesMut,
    /// Room for the names of messages.
    name: String,
}

impl Outgoing {
    /// Writes the PUBLISH of a parcel; gives the bytes that it takes. `None` when there is nothing to publish, or no way
    /// to say it.
    pub(super) fn publish(
        &mut self,
        parcel: &Parcel,
        options: &Options,
        numbered: Numbered,
        retain_available: bool,
        now: &Moment,
    ) -> Option<usize> {
        let Numbered { qos, identifier, dup } = numbered;
        let publish = publish(parcel, options, qos, retain_available, now, &mut self.name)?;
        publish.append_to(options.version, identifier, dup, &mut self.run).ok()
    }

    /// Hands over what was written, when it is much.
    pub(super) fn hand_over_much(&mut self, out: &mut Vec<Output>) {
        if self.run.len() >= RUN_BYTES {
            self.hand_over(out);
        }
    }

    /// Hands over what was written, before anything else is said or done.
    pub(super) fn hand_over(&mut self, out: &mut Vec<Output>) {
        if !self.run.is_empty() {
            out.push(Output::Publish(self.run.split().freeze()));
        }
    }
}
