//! WebSocket frames (RFC 6455, section 5), as they pass by: data is unwrapped in place, nothing of it is collected.
//!
//! MQTT is a stream: where a frame ends means nothing `[MQTT-6.0.0-2]`. So a frame may have any length and costs no
//! memory but its head and, for control frames, 125 bytes. Never reads or writes a socket.

use std::io::Cursor;

use bytes::{BufMut, BytesMut};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{FrameHeader, coding::CloseCode};

/// The longest head of a frame.
const HEAD_BYTES: usize = 14;
/// The longest payload of a control frame (section 5.5).
const CONTROL_BYTES: usize = 125;

/// On which side we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Our frames are masked, theirs are not (section 5.1).
    Client,
    /// The other way round.
    Server,
}

/// What a control frame asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// A pong with the same payload.
    Pong(Vec<u8>),
    /// The close handshake; with the code that was given.
    Close(Option<u16>),
}

/// Why a stream of frames cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    /// `[MQTT-6.0.0-1]`
    #[error("a text frame: MQTT travels in binary frames")]
    Text,
    #[error("{0}")]
    Protocol(&'static str),
}

impl Violation {
    /// With which code the connection is closed (section 7.4.1).
    pub(super) const fn code(self) -> CloseCode {
        match self {
            Violation::Text => CloseCode::Unsupported,
            Violation::Protocol(_) => CloseCode::Protocol,
        }
    }
}

/// Takes the frames off what the other side sends.
#[derive(Debug)]
pub(super) struct Unwrapper {
    side: Side,
    state: State,
    /// Whether a message was begun whose last frame has not come.
    in_message: bool,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the next head are there.
    Head { bytes: [u8; HEAD_BYTES], count: usize },
    /// Inside a payload.
    Payload { kind: Kind, left: u64, mask: Mask },
    /// Close came: nothing that follows counts.
    Closed,
}

#[derive(Debug)]
enum Kind {
    Data,
    Control(Control, Vec<u8>),
}

const fn head() -> State {
    State::Head { bytes: [0; HEAD_BYTES], count: 0 }
}

impl Unwrapper {
    pub(super) const fn new(side: Side) -> Unwrapper {
        Unwrapper { side, state: head(), in_message: false }
    }

    /// Moves the data in `bytes` to their front and says how much it is; what else is asked comes in `asked`.
    pub(super) fn unwrap(&mut self, bytes: &mut [u8], asked: &mut Vec<Asked>) -> Result<usize, Violation> {
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            match &mut self.state {
                State::Closed => break,
                State::Head { bytes: head, count } => {
                    let next = bytes.get(read).copied().unwrap_or_default();
                    read += 1;
                    if let Some(place) = head.get_mut(*count) {
                        *place = next;
                    }
                    *count += 1;
                    let known = head.get(..*count).unwrap_or_default();
                    if let Some((header, length)) = parse(known)? {
                        self.state = self.begin(&header, length)?;
                        self.end_if_complete(asked);
                    }
                }
                State::Payload { kind, left, mask } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - read);
                    let part = bytes.get_mut(read..read + here).unwrap_or_default();
                    mask.apply(part);
                    match kind {
                        Kind::Data => {
                            bytes.copy_within(read..read + here, kept);
                            kept += here;
                        }
                        Kind::Control(_, payload) => payload.extend_from_slice(part),
                    }
                    read += here;
                    *left -= u64::try_from(here).unwrap_or(0);
                    self.end_if_complete(asked);
                }
            }
        }
        Ok(kept)
    }

    /// Judges the head of a frame.
    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<State, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Protocol("a reserved bit is set, and no extension was agreed on"));
        }
        match (self.side, header.mask) {
            (Side::Server, None) => return Err(Violation::Protocol("a client's frame is not masked")),
            (Side::Client, Some(_)) => return Err(Violation::Protocol("a server's frame is masked")),
            _ => {}
        }
        if length >> 63 != 0 {
            return Err(Violation::Protocol("a frame's length is out of range"));
        }
        let kind = match header.opcode {
            OpCode::Data(data) => {
                let continues = matches!(data, Data::Continue);
                if matches!(data, Data::Text) {
                    return Err(Violation::Text);
                }
                if continues != self.in_message {
                    return Err(Violation::Protocol("the frames of messages are mixed up"));
                }
                self.in_message = !header.is_final;
                Kind::Data
            }
            OpCode::Control(control) => {
                if !header.is_final || length > 125 {
                    return Err(Violation::Protocol("a control frame is fragmented or too long"));
                }
                Kind::Control(control, Vec::with_capacity(CONTROL_BYTES))
            }
        };
        Ok(State::Payload { kind, left: length, mask: Mask::new(header.mask.unwrap_or_default()) })
    }

    fn end_if_complete(&mut self, asked: &mut Vec<Asked>) {
        if !matches!(self.state, State::Payload { left: 0, .. }) {
            return;
        }
        let State::Payload { kind, .. } = std::mem::replace(&mut self.state, head()) else { return };
        match kind {
            Kind::Control(Control::Ping, payload) => asked.push(Asked::Pong(payload)),
            Kind::Control(Control::Close, payload) => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                asked.push(Asked::Close(code));
                self.state = State::Closed;
            }
            Kind::Data | Kind::Control(..) => {}
        }
    }
}

/// The head of a frame, when all of it is there.
fn parse(known: &[u8]) -> Result<Option<(FrameHeader, u64)>, Violation> {
    let mut cursor = Cursor::new(known);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((header, length))) => {
            // "The minimal number of bytes MUST be used to encode the length" (section 5.2).
            if header.len(length) != known.len() {
                return Err(Violation::Protocol("a frame's length is not written the short way"));
            }
            Ok(Some((header, length)))
        }
        Ok(None) => Ok(None),
        Err(_) => Err(Violation::Protocol("an unknown kind of frame")),
    }
}

/// Masking (section 5.3), which goes on where it stopped.
#[derive(Debug)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) const fn new(key: [u8; 4]) -> Mask {
        Mask(key)
    }

    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        let Mask([a, b, c, d]) = *self;
        if self.0 == [0; 4] {
            return;
        }
        let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let mut words = bytes.chunks_exact_mut(8);
        for chunk in &mut words {
            if let Ok(eight) = <[u8; 8]>::try_from(&*chunk) {
                chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ word).to_ne_bytes());
            }
        }
        let rest = words.into_remainder();
        let turned = rest.len() % 4;
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
            *byte ^= key;
        }
        self.0.rotate_left(turned);
    }
}

/// Puts a frame into `out`: data, or a control frame with up to 125 bytes.
pub(super) fn wrap(opcode: OpCode, payload: &[u8], key: Option<[u8; 4]>, out: &mut BytesMut) {
    let header = FrameHeader { is_final: true, opcode, mask: key, ..FrameHeader::default() };
    let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    out.reserve(HEAD_BYTES + payload.len());
    let mut head = Vec::with_capacity(HEAD_BYTES);
    // Writing into a vector does not fail.
    let _ = header.format(length, &mut head);
    out.put_slice(&head);
    let start = out.len();
    out.put_slice(payload);
    if let Some(key) = key {
        Mask::new(key).apply(out.get_mut(start..).unwrap_or_default());
    }
}
