//! Links that cost: so many bytes a day, at certain times of the day. Alarms go all the same.
//!
//! Days and times are those of the zone that the driver gives. A clock that is not set knows neither: then nothing but
//! alarms goes where there are windows, and the day does not end.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::time::{Moment, TimeQuality};

/// How long to wait at most before looking at the clock again: it may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// What a link may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Bytes of MQTT in a day, both ways; `None`: as many as there are.
    pub bytes_per_day: Option<u64>,
    /// When it may be used; empty: always.
    pub windows: Vec<DayWindow>,
    /// Where days begin, and what the times mean.
    pub zone: TimeZone,
    /// What an earlier run carried.
    pub spent: Spent,
}

/// From one minute of the day to another, which is not in it; over midnight where that is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayWindow {
    /// Minutes since midnight.
    pub from: u16,
    /// Minutes since midnight.
    pub to: u16,
}

/// What was carried on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Days since 1970 in the link's zone.
    pub day: i32,
    /// How much.
    pub bytes: u64,
}

/// Why nothing but alarms is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// It is not one of its times.
    #[error("it is not one of its `windows`: only alarms are sent")]
    OutsideWindows,
    /// The day's bytes are used up.
    #[error("the `daily_budget` is used up: until midnight only alarms are sent")]
    BudgetSpent,
    /// There are windows, and nobody knows what time it is.
    #[error("the clock is not set, so that nobody knows its `windows`: only alarms are sent")]
    ClockNotSet,
}

/// The meter of one link.
#[derive(Debug)]
pub(super) struct Meter {
    rules: Metered,
    pub(super) spent: Spent,
}

impl Meter {
    pub(super) fn new(rules: Metered) -> Meter {
        Meter { spent: rules.spent, rules }
    }

    /// So many bytes went, or came.
    pub(super) fn count(&mut self, now: &Moment, bytes: u64) {
        self.look_at_the_clock(now);
        self.spent.bytes = self.spent.bytes.saturating_add(bytes);
    }

    /// A new day has spent nothing. None begins by a clock that is not set.
    fn look_at_the_clock(&mut self, now: &Moment) -> Option<Local> {
        let local = (now.quality == TimeQuality::Synced).then(|| self.rules.local(now.unix_ms))?;
        if local.day != self.spent.day {
            self.spent = Spent { day: local.day, bytes: 0 };
        }
        Some(local)
    }

    /// Why nothing but alarms may go now, and how long until that is to be looked at again.
    pub(super) fn held(&mut self, now: &Moment) -> Option<(Held, Duration)> {
        let mut look_after = LOOK_EVERY;
        if let Some(local) = self.look_at_the_clock(now) {
            look_after = look_after.min(local.until_next_minute);
            let windows = &self.rules.windows;
            if !windows.is_empty() && !windows.iter().any(|window| window.has(local.minute)) {
                return Some((Held::OutsideWindows, look_after));
            }
        } else if !self.rules.windows.is_empty() {
            return Some((Held::ClockNotSet, look_after));
        }
        let spent = self.rules.bytes_per_day.is_some_and(|most| self.spent.bytes >= most);
        spent.then_some((Held::BudgetSpent, look_after))
    }
}

/// A time as clocks on the wall show it.
struct Local {
    /// Days since 1970.
    day: i32,
    /// Minutes since midnight.
    minute: u16,
    /// Windows and days begin with a minute.
    until_next_minute: Duration,
}

impl Metered {
    /// This time in the link's zone.
    fn local(&self, unix_ms: i64) -> Local {
        let at = Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_zoned(self.zone.clone());
        let offset = i64::from(at.offset().seconds());
        let local_ms = unix_ms.saturating_add(offset * 1000);
        let seconds = local_ms.div_euclid(1000);
        let into_minute = u64::try_from(local_ms.rem_euclid(60_000)).unwrap_or_default();
        Local {
            day: i32::try_from(seconds.div_euclid(86_400)).unwrap_or_default(),
            minute: u16::try_from(seconds.rem_euclid(86_400) / 60).unwrap_or_default(),
            until_next_minute: Duration::from_millis(60_000_u64.saturating_sub(into_minute)),
        }
    }
}

impl DayWindow {
    /// Reads `22:00-06:00`.
    ///
    /// # Errors
    /// When it is none, in words.
    pub fn parse(text: &str) -> Result<DayWindow, String> {
        let wrong = || "it is written \"22:00-06:00\"".to_owned();
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let fits = (hour < 24 && minute < 60) || (hour, minute) == (24, 0);
            fits.then_some(hour * 60 + minute)
        };
        let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
        if from == to { Err("it ends when it begins".to_owned()) } else { Ok(DayWindow { from, to }) }
    }

    const fn has(self, minute: u16) -> bool {
        if self.from < self.to {
            minute >= self.from && minute < self.to
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(bytes_per_day: Option<u64>, windows: &[&str], hours: i8) -> Meter {
        Meter::new(Metered {
            bytes_per_day,
            windows: windows.iter().map(|text| DayWindow::parse(text).unwrap()).collect(),
            zone: TimeZone::fixed(jiff::tz::offset(hours)),
            spent: Spent::default(),
        })
    }

    fn at(hour: i64, minute: i64) -> Moment {
        Moment { unix_ms: (20_000 * 86_400 + hour * 3600 + minute * 60) * 1000, ..Moment::default() }
    }

    #[test]
    fn windows_are_of_the_zone_and_may_go_over_midnight() {
        let mut meter = metered(None, &["22:00-06:00", "12:00-13:00"], 2);
        let mut held = |hour, minute| meter.held(&at(hour, minute)).map(|(held, _)| held);
        // Two hours later there.
        assert_eq!(held(20, 0), None);
        assert_eq!(held(3, 59), None);
        assert_eq!(held(4, 0), Some(Held::OutsideWindows));
        assert_eq!(held(10, 30), None);
        assert_eq!(held(19, 59), Some(Held::OutsideWindows));
    }

    /// So that a window is used from its beginning, and a new day's bytes from midnight.
    #[test]
    fn the_clock_is_looked_at_when_a_minute_begins() {
        let mut meter = metered(None, &["12:00-13:00"], 0);
        let mut look_after = |before_noon_ms| {
            let mut now = at(12, 0);
            now.unix_ms -= before_noon_ms;
            meter.held(&now).map(|(_, after)| after)
        };
        assert_eq!(look_after(60_000), Some(LOOK_EVERY));
        assert_eq!(look_after(19_000), Some(Duration::from_secs(19)));
        assert_eq!(look_after(1), Some(Duration::from_millis(1)));
        assert_eq!(look_after(0), None);
    }

    #[test]
    fn a_budget_is_the_days_and_a_clock_that_is_not_set_ends_no_day() {
        let mut meter = metered(Some(1000), &[], 0);
        assert_eq!(meter.held(&at(1, 0)), None);
        meter.count(&at(2, 0), 999);
        assert_eq!(meter.held(&at(2, 0)), None);
        meter.count(&at(2, 0), 1);
        assert_eq!(meter.held(&at(23, 59)).unwrap().0, Held::BudgetSpent);
        let unset = Moment { unix_ms: 0, quality: TimeQuality::Unsynced, ..Moment::default() };
        assert_eq!(meter.held(&unset).unwrap().0, Held::BudgetSpent);
        assert_eq!(meter.held(&at(24, 0)), None);
        let mut meter = metered(None, &["00:00-24:00"], 0);
        assert_eq!(meter.held(&unset).unwrap().0, Held::ClockNotSet);
    }

    #[test]
    fn what_is_no_window_is_told() {
        for bad in ["", "22:00", "22-06", "25:00-06:00", "10:60-11:00", "10:00-10:00", "24:01-01:00"] {
            assert!(DayWindow::parse(bad).is_err(), "{bad}");
        }
    }
}
