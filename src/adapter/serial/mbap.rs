//! Modbus TCP (MODBUS Messaging on TCP/IP 1.0b, 3.1.3): the same requests and answers behind a header, without a CRC.
//!
//! Answers are handed on as Modbus RTU has them, so that one machine masters both. One that belongs to an earlier
//! request is dropped: its header says so.

use crate::device::modbus_crc;

/// The header: transaction, protocol (0), length of what follows, unit.
const HEADER: usize = 7;
/// The longest message (4.1).
const LONGEST: usize = 260;

#[derive(Debug, Default)]
pub(super) struct Mbap {
    transaction: u16,
    pending: Vec<u8>,
}

impl Mbap {
    /// A request of Modbus RTU as Modbus TCP has it.
    pub(super) fn wrapped(&mut self, rtu: &[u8]) -> Vec<u8> {
        self.transaction = self.transaction.wrapping_add(1);
        let message = rtu.get(..rtu.len().saturating_sub(2)).unwrap_or_default();
        let mut bytes = self.transaction.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(u16::try_from(message.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(message);
        bytes
    }

    /// Takes what came; whole answers are appended to `rtu` as Modbus RTU has them.
    pub(super) fn heard(&mut self, bytes: &[u8], rtu: &mut Vec<u8>) {
        self.pending.extend_from_slice(bytes);
        while let Some([high, low, protocol_high, protocol_low, length_high, length_low, _]) =
            self.pending.get(..HEADER)
        {
            let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
            let is_sound = (*protocol_high, *protocol_low) == (0, 0) && (2..=LONGEST - 6).contains(&length);
            if !is_sound {
                // Where the next message begins cannot be known: what has come is lost, and the request times out.
                self.pending.clear();
                return;
            }
            let is_awaited = u16::from_be_bytes([*high, *low]) == self.transaction;
            let Some(message) = self.pending.get(6..6 + length) else { return };
            if is_awaited {
                rtu.extend(message);
                rtu.extend(modbus_crc(message));
            }
            self.pending.drain(..6 + length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_handed_on_with_a_crc_and_late_ones_are_not() {
        let mut mbap = Mbap::default();
        let request = [0x01, 0x04, 0x00, 0x01, 0x00, 0x02, 0x20, 0x0B];
        assert_eq!(mbap.wrapped(&request)[..8], [0, 1, 0, 0, 0, 6, 1, 4]);
        let answer = |transaction: u8| vec![0, transaction, 0, 0, 0, 7, 1, 4, 4, 0x01, 0x31, 0x02, 0x22];
        let mut rtu = Vec::new();
        let (first, second) = (answer(0), answer(1));
        mbap.heard(&first, &mut rtu);
        mbap.heard(&second[..9], &mut rtu);
        assert!(rtu.is_empty());
        mbap.heard(&second[9..], &mut rtu);
        assert_eq!(rtu, [0x01, 0x04, 0x04, 0x01, 0x31, 0x02, 0x22, 0x2A, 0xCE]);
        mbap.heard(&[9, 9, 9, 9, 9, 9, 9, 9], &mut rtu);
        mbap.heard(&second, &mut rtu);
        assert_eq!(rtu.len(), 18, "what is no message costs itself");
    }
}
