//! The whole way of one port: bytes in, measurements and problems out.
//!
//! Never touches the port itself; it is told when the line is silent.

use std::sync::Arc;
use std::time::Duration;

use super::decoder::{Decoder, Measurements};
use super::framer::Framer;
use super::modbus::Request;
use super::problem::{Problem, ProblemKind};
use super::profile::Profile;

/// What was found in the bytes of a device.
pub type Found = Result<Measurements, Problem>;

/// Listens to one device as its [`Profile`] says.
#[derive(Debug)]
pub struct Listener {
    profile: Arc<Profile>,
    framer: Framer,
    /// Whole frames that came, whatever they said.
    frames: u64,
}

impl Listener {
    /// A listener that has heard nothing yet.
    #[must_use]
    pub fn new(profile: Arc<Profile>) -> Listener {
        let mut framer = Framer::new(Arc::clone(&profile.framing));
        // Until somebody asks something else, an answer is one to the first question of the profile.
        if let Some(first) = profile.modbus.as_ref().and_then(|modbus| modbus.reads.first()) {
            framer.ask(first.request.to_unit(first.request.unit()));
        }
        Listener { profile, framer, frames: 0 }
    }

    /// Says what the device was asked; what belongs to an earlier question is no answer any more.
    pub fn ask(&mut self, request: Request) {
        self.framer.ask(request);
    }

    /// Forgets what has come and is not whole.
    pub fn clear(&mut self) {
        self.framer.clear();
    }

    /// Takes bytes as they arrived, split anywhere, and gives what is found in them to `found`, in order.
    ///
    /// A frame of which a part is bad gives its problems first and then what is good of it.
    pub fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) {
        let decoder = &self.profile.decoder;
        let frames = &mut self.frames;
        self.framer.push(bytes, &mut |frame| {
            *frames += u64::from(frame.is_ok());
            interpret(decoder, frame, found);
        });
    }

    /// The line fell silent for [`Listener::gap`], was closed, or ended: nothing that has begun becomes whole.
    pub fn silence(&mut self, found: &mut dyn FnMut(Found)) {
        let decoder = &self.profile.decoder;
        let frames = &mut self.frames;
        self.framer.silence(&mut |frame| {
            *frames += u64::from(frame.is_ok());
            interpret(decoder, frame, found);
        });
    }

    /// How long the line may be silent before [`Listener::silence`] is due; `None` while no frame has begun, and
    /// for devices whose frames may take their time.
    #[must_use]
    pub fn gap(&self) -> Option<Duration> {
        self.framer.gap().filter(|_| self.framer.is_inside_frame())
    }

    /// Whole frames that came so far, whatever they said: a sentinel and a confirmation count too.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes of memory for what has come and is not whole.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.framer.held_bytes()
    }

    /// How many times the bytes at hand were judged.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.framer.looks()
    }

    /// As what it listens.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }
}

fn interpret(decoder: &Decoder, frame: Result<&[u8], Problem>, found: &mut dyn FnMut(Found)) {
    let frame = match frame {
        Ok(frame) => frame,
        Err(problem) => return found(Err(problem)),
    };
    let decoded = decoder.decode(frame);
    let nothing_said = decoded.problems.is_empty();
    for problem in decoded.problems {
        found(Err(problem));
    }
    if !decoded.measurements.is_empty() {
        found(Ok(decoded.measurements));
    } else if nothing_said && !decoded.absent {
        found(Err(Problem::new(ProblemKind::Nothing, "the frame holds nothing that the profile names")));
    }
}
