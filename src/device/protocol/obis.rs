//! OBIS codes (IEC 62056-61), which name what a meter counts: `1-0:1.8.0*255`.

/// A code as a profile or a meter writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device) struct ObisCode<'a> {
    /// `1-0`; meters that leave it out mean electricity.
    medium: Option<(u8, Channel)>,
    /// `1.8.0`
    quantity: &'a str,
    /// A value of the past: `*01`.
    is_history: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Number(u8),
    /// `n` in a profile: whichever.
    Any,
}

impl<'a> ObisCode<'a> {
    /// Reads a code.
    pub(in crate::device) fn parse(text: &'a str) -> Option<ObisCode<'a>> {
        let (medium, rest) = match text.split_once(':') {
            Some((medium, rest)) => (Some(parse_medium(medium)?), rest),
            None => (None, text),
        };
        let (quantity, past) = match rest.split_once(['*', '&']) {
            Some((quantity, past)) => (quantity, Some(past)),
            None => (rest, None),
        };
        let good = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let parts = quantity.split('.').count();
        if !(2..=3).contains(&parts) || !quantity.split('.').all(good) {
            return None;
        }
        Some(ObisCode { medium, quantity, is_history: past.is_some_and(|past| past != "255") })
    }

    /// Whether a meter's code is what a profile's means.
    pub(in crate::device) fn matches(&self, meters: &ObisCode<'_>) -> bool {
        let same_medium = match (self.medium, meters.medium) {
            // Channels of electricity are a habit of the maker's.
            (Some((medium, channel)), Some((other, others))) => {
                medium == other && (medium == 1 || channel == Channel::Any || channel == others)
            }
            _ => true,
        };
        let (own, others) = (self.quantity, meters.quantity);
        // `0.0` is short for `0.0.0`.
        let same = own == others || own.strip_suffix(".0") == Some(others) && others.contains('.');
        !meters.is_history && same_medium && same
    }
}

fn parse_medium(text: &str) -> Option<(u8, Channel)> {
    let (medium, channel) = text.split_once('-')?;
    let channel = if channel == "n" { Channel::Any } else { Channel::Number(channel.parse().ok()?) };
    Some((medium.parse().ok()?, channel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_match_however_meters_shorten_them() {
        let matches = |profile: &str, meter: &str| {
            ObisCode::parse(profile).unwrap().matches(&ObisCode::parse(meter).unwrap())
        };
        for meter in ["1-0:1.8.0*255", "1-0:1.8.0", "1-1:1.8.0", "1.8.0", "1.8"] {
            assert!(matches("1-0:1.8.0", meter), "{meter}");
        }
        for meter in ["1-0:1.8.1", "1-0:1.8.0*01", "1.8.0&02", "2.8.0", "0-0:1.8.0", "1"] {
            assert!(
                ObisCode::parse(meter)
                    .is_none_or(|code| !ObisCode::parse("1-0:1.8.0").unwrap().matches(&code)),
                "{meter}"
            );
        }
        assert!(matches("0-n:24.2.1", "0-2:24.2.1") && !matches("0-0:96.1.1", "0-1:96.1.1"));
        assert_eq!(ObisCode::parse("hello"), None);
    }
}
