//! RFC 2217: a serial port of another machine, as options of Telnet (RFC 854): data with its 255s doubled, and commands
//! that set speed and format between them.
//!
//! Takes what the server offers and asks for no more than it needs. Never waits: what the server refuses is as it is.

use crate::device::{Parity, SerialSettings};

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;
/// The longest subnegotiation that is remembered; none is needed.
const SUBNEGOTIATION: usize = 256;

/// What was read of a command, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Telnet {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    Command,
    /// Of an option: which verb.
    Option(u8),
    /// Inside of a subnegotiation: how long it is, and whether the last byte was IAC.
    Inside(usize, bool),
}

impl Telnet {
    /// What is said to learn whether there is a port at all: whoever can do this agrees, and others are Telnet too.
    pub(super) const OFFER: [u8; 3] = [IAC, WILL, COM_PORT];

    /// What is said first: binary both ways, and the settings of the port.
    pub(super) fn greeting(settings: SerialSettings) -> Vec<u8> {
        let mut bytes = Vec::new();
        for option in [BINARY, SUPPRESS_GO_AHEAD] {
            bytes.extend([IAC, WILL, option, IAC, DO, option]);
        }
        bytes.extend([IAC, WILL, COM_PORT]);
        bytes.extend(Telnet::settings(settings));
        bytes
    }

    /// Speed and format.
    pub(super) fn settings(settings: SerialSettings) -> Vec<u8> {
        let parity = match settings.format.parity {
            Parity::None => 1,
            Parity::Odd => 2,
            Parity::Even => 3,
        };
        let commands: [(u8, Vec<u8>); 4] = [
            (1, settings.baud.to_be_bytes().to_vec()),
            (2, vec![settings.format.data_bits]),
            (3, vec![parity]),
            (4, vec![settings.format.stop_bits]),
        ];
        let mut bytes = Vec::new();
        for (command, value) in commands {
            bytes.extend([IAC, SB, COM_PORT, command]);
            bytes.extend(Telnet::escaped(&value));
            bytes.extend([IAC, SE]);
        }
        bytes
    }

    /// Data as it is sent.
    pub(super) fn escaped(bytes: &[u8]) -> Vec<u8> {
        let doubled = |byte: &u8| std::iter::repeat_n(*byte, if *byte == IAC { 2 } else { 1 });
        bytes.iter().flat_map(doubled).collect()
    }

    /// Takes what came: data is appended to `data`; returns what is to be answered.
    pub(super) fn heard(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Vec<u8> {
        let mut answer = Vec::new();
        for byte in bytes {
            self.state = match (self.state, *byte) {
                (State::Data, IAC) => State::Command,
                (State::Data, byte) => {
                    data.push(byte);
                    State::Data
                }
                (State::Command, IAC) => {
                    data.push(IAC);
                    State::Data
                }
                (State::Command, SB) => State::Inside(0, false),
                (State::Command, verb @ (DO | DONT | WILL | WONT)) => State::Option(verb),
                (State::Command, _) => State::Data,
                (State::Option(verb), option) => {
                    answer.extend(reply(verb, option));
                    State::Data
                }
                (State::Inside(_, true), SE) => State::Data,
                // Something that never ends is no subnegotiation.
                (State::Inside(SUBNEGOTIATION.., _), _) => State::Data,
                (State::Inside(length, escaped), byte) => State::Inside(length + 1, byte == IAC && !escaped),
            };
        }
        answer
    }
}

/// Options that were asked for are not agreed upon again; others are refused.
fn reply(verb: u8, option: u8) -> Vec<u8> {
    let is_ours = matches!(option, BINARY | SUPPRESS_GO_AHEAD | COM_PORT);
    match verb {
        DO if !is_ours => vec![IAC, WONT, option],
        WILL if !is_ours => vec![IAC, DONT, option],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::SerialFormat;

    #[test]
    fn data_comes_through_however_it_is_split_and_commands_do_not() {
        let stream = [
            b'a', IAC, IAC, IAC, DO, 44, b'b', IAC, SB, 44, 101, 0, IAC, IAC, 0x80, IAC, SE, b'c', IAC, WILL,
            1, IAC, 241, b'd',
        ];
        for cut in 0..stream.len() {
            let (mut telnet, mut data) = (Telnet::default(), Vec::new());
            let mut answer = telnet.heard(&stream[..cut], &mut data);
            answer.extend(telnet.heard(&stream[cut..], &mut data));
            assert_eq!((data, answer), (vec![b'a', IAC, b'b', b'c', b'd'], vec![IAC, DONT, 1]));
        }
    }

    #[test]
    fn settings_are_commands_of_rfc_2217() {
        let settings = SerialSettings { baud: 9600, format: SerialFormat::parse("7E1").unwrap() };
        let bytes = Telnet::settings(settings);
        assert_eq!(bytes[..10], [IAC, SB, 44, 1, 0, 0, 0x25, 0x80, IAC, SE]);
        assert_eq!(
            bytes[10..],
            [IAC, SB, 44, 2, 7, IAC, SE, IAC, SB, 44, 3, 3, IAC, SE, IAC, SB, 44, 4, 1, IAC, SE]
        );
        assert_eq!(Telnet::escaped(&[1, IAC]), [1, IAC, IAC]);
    }
}
