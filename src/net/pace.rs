//! How often the broker's thread wakes: while messages come one by one, thousands in a second, it looks up once in a
//! millisecond and finds several.
//!
//! A wake-up costs more than most messages do, as network cards know, which moderate their interrupts in this way.
//! Nobody may become slower by it: whether as many messages come while it naps as before is tried first, looked at
//! again every now and then, and who waits for each answer before going on (then fewer come) ends it for a while.
//! Nothing naps while somebody waits for the disk, or while messages are committed one by one: whoever sends the next
//! when the one before was acknowledged would be slowed down, that need not be tried. Decides only; never sleeps, and
//! takes time as an argument.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::time::Instant;

/// How long a nap is: what it adds to a message's way at most.
const NAP: Duration = Duration::from_millis(1);
/// What is counted is counted over this time.
const WINDOW: Duration = Duration::from_millis(50);
/// Above so many wake-ups in a second naps are worth a try...
const MANY_WAKE_UPS: u64 = 1500;
/// ...and below this, napping, they are not needed any more.
const FEW_WAKE_UPS: u64 = 500;
/// Windows of naps between two without, which show whether somebody could go faster.
const WINDOWS_BETWEEN_PROBES: u32 = 40;
/// After somebody was slowed down; twice as long each time, up to the longest.
const SHORTEST_BAN: Duration = Duration::from_secs(1);
const LONGEST_BAN: Duration = Duration::from_secs(64);

/// What it is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Wakes for everything.
    Awake,
    /// Naps for one window, to compare with the messages per second of the one before.
    Trial { before: u64 },
    /// Naps, for so many windows more.
    Napping { windows_left: u32 },
    /// Stays awake for one window, to compare with the messages per second of the one before.
    Probe { before: u64 },
    /// Somebody was slowed down: no naps until then.
    Banned { until: Instant },
}

thread_local! {
    static PACE: RefCell<Pace> = const { RefCell::new(Pace::new(Instant::from_nanos(0))) };
    static MESSAGES: Cell<u64> = const { Cell::new(0) };
    static WAITS_FOR_DISK: Cell<bool> = const { Cell::new(false) };
}

/// So many messages have come, on this thread.
pub(super) fn count(messages: u64) {
    MESSAGES.set(MESSAGES.get().wrapping_add(messages));
}

/// Whether somebody waits for the disk, as the owner on this thread knows.
pub(super) fn set_waits_for_disk(waits: bool) {
    WAITS_FOR_DISK.set(waits);
}

/// A single message was committed on this thread, and is acknowledged next.
pub(super) fn committed_alone() {
    PACE.with_borrow_mut(Pace::committed_alone);
}

/// This thread has nothing to do: how long it is to nap before it waits.
pub(super) fn rest(now: Instant) -> Duration {
    let nap = PACE.with_borrow_mut(|pace| pace.rest(now, MESSAGES.get()));
    if WAITS_FOR_DISK.get() { Duration::ZERO } else { nap }
}

/// See the module.
#[derive(Debug)]
struct Pace {
    mode: Mode,
    window_began: Instant,
    wake_ups: u64,
    messages_before: u64,
    next_ban: Duration,
    /// Whether a message was committed alone in this window.
    alone: bool,
}

impl Pace {
    const fn new(now: Instant) -> Pace {
        Pace {
            mode: Mode::Awake,
            window_began: now,
            wake_ups: 0,
            messages_before: 0,
            next_ban: SHORTEST_BAN,
            alone: false,
        }
    }

    const fn committed_alone(&mut self) {
        self.alone = true;
    }

    /// The thread has nothing to do: how long it is to nap before it waits. `messages`: how many have come since it
    /// began.
    fn rest(&mut self, now: Instant, messages: u64) -> Duration {
        self.wake_ups += 1;
        let window = now.since(self.window_began);
        if window >= WINDOW {
            self.close_window(now, window, messages);
        }
        match self.mode {
            Mode::Trial { .. } | Mode::Napping { .. } if !self.alone => NAP,
            _ => Duration::ZERO,
        }
    }

    fn close_window(&mut self, now: Instant, window: Duration, messages: u64) {
        let came = messages.saturating_sub(self.messages_before);
        let messages_per_second = per_second(came, window);
        let wake_ups_per_second = per_second(self.wake_ups, window);
        self.messages_before = messages;
        self.wake_ups = 0;
        self.window_began = now;
        let alone = std::mem::take(&mut self.alone);
        self.mode = match self.mode {
            Mode::Banned { until } if now < until => Mode::Banned { until },
            _ if alone => Mode::Awake,
            // Nothing happened for a while: what came before says nothing.
            Mode::Trial { .. } | Mode::Napping { .. } | Mode::Probe { .. } if window > 4 * WINDOW => {
                Mode::Awake
            }
            Mode::Trial { before } if is_much_less(messages_per_second, before) => self.ban(now),
            Mode::Trial { .. } => Mode::Napping { windows_left: WINDOWS_BETWEEN_PROBES },
            Mode::Napping { .. } if wake_ups_per_second < FEW_WAKE_UPS => Mode::Awake,
            Mode::Napping { windows_left: 0 } => Mode::Probe { before: messages_per_second },
            Mode::Napping { windows_left } => Mode::Napping { windows_left: windows_left - 1 },
            Mode::Probe { before } if is_much_less(before, messages_per_second) => self.ban(now),
            Mode::Probe { .. } => {
                self.next_ban = SHORTEST_BAN;
                Mode::Napping { windows_left: WINDOWS_BETWEEN_PROBES }
            }
            Mode::Awake | Mode::Banned { .. } if wake_ups_per_second > MANY_WAKE_UPS => {
                Mode::Trial { before: messages_per_second }
            }
            Mode::Awake | Mode::Banned { .. } => Mode::Awake,
        };
    }

    fn ban(&mut self, now: Instant) -> Mode {
        let until = now + self.next_ban;
        self.next_ban = (2 * self.next_ban).min(LONGEST_BAN);
        Mode::Banned { until }
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}

/// By more than chance.
const fn is_much_less(one: u64, other: u64) -> bool {
    one.saturating_mul(10) < other.saturating_mul(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that wakes for messages: every `gap` one comes, or, with `asks`, one `gap` after the last was answered.
    struct Traffic {
        now: Instant,
        messages: u64,
        naps: u64,
        wake_ups: u64,
        pace: Pace,
    }

    impl Traffic {
        fn new() -> Traffic {
            let now = Instant::from_nanos(1_000_000_000);
            Traffic { now, messages: 0, naps: 0, wake_ups: 0, pace: Pace::new(now) }
        }

        /// Messages come regardless of answers.
        fn flows(&mut self, gap: Duration, time: Duration) {
            let (began, first) = (self.now, self.messages);
            while self.now.since(began) < time {
                let nap = self.pace.rest(self.now, self.messages);
                self.naps += u64::from(!nap.is_zero());
                self.wake_ups += 1;
                // It wakes when a message is there and the nap is over; all that came meanwhile are taken.
                let next = began + gap * u32::try_from(self.messages - first + 1).unwrap();
                self.now = next.max(self.now + nap);
                let came = self.now.since(began).as_nanos() / gap.as_nanos();
                self.messages = first + u64::try_from(came).unwrap();
            }
        }

        /// The next message comes `gap` after the thread has looked.
        fn asks(&mut self, gap: Duration, time: Duration) {
            self.asks_and(gap, time, |_| ());
        }

        /// The same, and something is done when a message has come.
        fn asks_and(&mut self, gap: Duration, time: Duration, when_come: impl Fn(&mut Pace)) {
            let began = self.now;
            while self.now.since(began) < time {
                when_come(&mut self.pace);
                let nap = self.pace.rest(self.now, self.messages);
                self.naps += u64::from(!nap.is_zero());
                self.wake_ups += 1;
                self.now = self.now + nap.max(gap);
                self.messages += 1;
            }
        }
    }

    /// Many that come by themselves are taken in naps: fewer than half of the wake-ups are left, and none is lost.
    #[test]
    fn a_steady_flow_is_taken_in_naps() {
        let mut traffic = Traffic::new();
        traffic.flows(Duration::from_micros(300), Duration::from_secs(10));
        assert!(traffic.wake_ups < traffic.messages / 2, "{} of {}", traffic.wake_ups, traffic.messages);
        assert!(traffic.messages > 33_000);
    }

    /// Few are served at once.
    #[test]
    fn a_trickle_is_served_at_once() {
        let mut traffic = Traffic::new();
        traffic.flows(Duration::from_millis(1), Duration::from_secs(10));
        assert_eq!(traffic.naps, 0);
    }

    /// Whoever waits for each answer loses a few per cent of the time at most.
    #[test]
    fn who_waits_for_every_answer_is_hardly_slowed_down() {
        let mut traffic = Traffic::new();
        let gap = Duration::from_micros(150);
        traffic.asks(gap, Duration::from_secs(60));
        let possible = u64::try_from(Duration::from_secs(60).as_nanos() / gap.as_nanos()).unwrap();
        assert!(traffic.messages > possible * 97 / 100, "{} of {possible}", traffic.messages);
        assert!(traffic.naps > 0, "it was tried");
    }

    /// Whose messages are committed one by one is not even tried with naps, also where they began in a steady flow; and
    /// that is over when he is gone.
    #[test]
    fn messages_that_are_committed_one_by_one_are_never_slowed_down() {
        let mut traffic = Traffic::new();
        let gap = Duration::from_micros(300);
        traffic.asks_and(gap, Duration::from_secs(10), Pace::committed_alone);
        assert_eq!(traffic.naps, 0);
        traffic.flows(gap, Duration::from_secs(10));
        assert!(traffic.naps > 1_000, "{} naps", traffic.naps);
        let naps = traffic.naps;
        traffic.asks_and(gap, Duration::from_secs(10), Pace::committed_alone);
        assert_eq!(traffic.naps, naps);
    }

    /// Naps that began in a steady flow end when it is followed by somebody who waits for answers, and by silence.
    #[test]
    fn a_change_of_traffic_is_noticed() {
        let mut traffic = Traffic::new();
        traffic.flows(Duration::from_micros(300), Duration::from_secs(3));
        traffic.asks(Duration::from_micros(150), Duration::from_secs(5));
        let naps = traffic.naps;
        traffic.asks(Duration::from_micros(150), Duration::from_millis(500));
        assert_eq!(traffic.naps, naps, "banned");
        traffic.flows(Duration::from_micros(300), Duration::from_secs(80));
        traffic.flows(Duration::from_millis(20), Duration::from_secs(1));
        let naps = traffic.naps;
        traffic.flows(Duration::from_millis(20), Duration::from_secs(1));
        assert_eq!(traffic.naps, naps, "awake");
    }
}
