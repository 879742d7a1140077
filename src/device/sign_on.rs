//! The opening of IEC 62056-21, modes B and C (6.3): a meter is asked slowly, says how fast it can go on, and is told to.
//!
//! Never sends anything itself; times are the driver's.

/// The longest identification (6.3.2 has 24 characters).
const LONGEST: usize = 64;

/// What the meter has said of itself so far.
#[derive(Debug, Default)]
pub struct SignOn {
    /// Its identification, as far as it has come; `None`: it was not asked, or has said it.
    line: Option<Vec<u8>>,
}

/// How to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoOn {
    /// What the meter is told, at the old speed; nothing in mode B.
    pub acknowledge: Vec<u8>,
    /// The speed of what follows.
    pub baud: u32,
}

impl SignOn {
    /// The meter was asked.
    pub fn asked(&mut self) {
        self.line = Some(Vec::new());
    }

    /// Takes what came; says how to go on once the identification is whole.
    pub fn heard(&mut self, bytes: &[u8]) -> Option<GoOn> {
        for byte in bytes {
            let line = self.line.as_mut()?;
            match byte {
                b'/' => line.clear(),
                b'\n' => {
                    // An echo of the request is no identification, nor is noise.
                    match go_on(line) {
                        Some(next) => {
                            self.line = None;
                            return next;
                        }
                        None => line.clear(),
                    }
                    continue;
                }
                _ => {}
            }
            if line.len() < LONGEST {
                line.push(*byte);
            }
        }
        None
    }
}

/// `/MMMB...`: three letters of the maker, then the speed; inner `None`: the meter goes on as it is (mode A).
fn go_on(line: &[u8]) -> Option<Option<GoOn>> {
    let [b'/', a, b, c, speed, ..] = line else { return None };
    if ![a, b, c].iter().all(|letter| letter.is_ascii_alphabetic()) {
        return None;
    }
    let (is_c, place) = match speed {
        b'0'..=b'6' => (true, speed - b'0'),
        b'A'..=b'F' => (false, speed - b'A' + 1),
        _ => return Some(None),
    };
    let baud = *[300, 600, 1200, 2400, 4800, 9600, 19_200].get(usize::from(place))?;
    let acknowledge = if is_c { vec![0x06, b'0', *speed, b'0', b'\r', b'\n'] } else { Vec::new() };
    Some(Some(GoOn { acknowledge, baud }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(identification: &[u8]) -> Option<GoOn> {
        let mut sign_on = SignOn::default();
        sign_on.asked();
        let whole = sign_on.heard(identification);
        // However it is split.
        sign_on.asked();
        let parts: Vec<GoOn> = identification.chunks(1).filter_map(|byte| sign_on.heard(byte)).collect();
        assert_eq!(parts.first(), whole.as_ref());
        whole
    }

    #[test]
    fn a_meter_says_how_fast_it_goes_on() {
        let c = GoOn { acknowledge: b"\x06050\r\n".to_vec(), baud: 9600 };
        assert_eq!(say(b"/?!\r\n\xFF/LGZ5\\2ZMD120AR.B32\r\n"), Some(c));
        assert_eq!(say(b"/ABCC-meter\r\n"), Some(GoOn { acknowledge: Vec::new(), baud: 2400 }));
        assert_eq!(say(b"/ABC meter of mode A\r\n"), None);
        assert_eq!(say(b"/?!\r\nnoise\n"), None);
        assert_eq!(SignOn::default().heard(b"/LGZ5x\r\n"), None, "nobody asked");
    }
}
