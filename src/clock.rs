//! Reads the machine's clocks, for everybody who may: the drivers.
//!
//! The monotonic clock goes on while the machine sleeps (`CLOCK_BOOTTIME`), so that durations are those of the
//! world. The wall clock is trusted once the system says that it was set from outside, and from then on: a
//! Raspberry Pi starts with the time of its last shutdown. Never sets a clock.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::{BootId, Instant, Moment, TimeQuality};

/// How often an unset clock is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// 2026-01-01: an earlier wall clock was not set by anybody who knows the time.
const EARLIEST_UNIX_MS: i64 = 1_767_225_600_000;

/// The clocks of this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
    synced: Arc<AtomicBool>,
}

impl Clock {
    /// The clocks of the system. As long as the wall clock is not set, a thread looks for it now and then.
    #[must_use]
    pub fn system() -> Clock {
        let clock = Clock { boot: boot_id(), synced: Arc::new(AtomicBool::new(files_say_so())) };
        if !clock.is_synced() {
            let synced = Arc::downgrade(&clock.synced);
            let watch = move || {
                while let Some(flag) = synced.upgrade() {
                    if files_say_so() || timedated_says_so() {
                        flag.store(true, Ordering::Relaxed);
                        return;
                    }
                    drop(flag);
                    thread::sleep(LOOK_AGAIN);
                }
            };
            // Without the thread times stay marked as unsynced, which is true as far as anybody knows.
            let _ = thread::Builder::new().name("clock".to_owned()).spawn(watch);
        }
        clock
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        let quality = if self.is_synced() { TimeQuality::Synced } else { TimeQuality::Unsynced };
        Moment { boot: self.boot, monotonic: monotonic(), unix_ms: unix_ms(), quality }
    }

    /// The monotonic clock alone.
    #[must_use]
    pub fn monotonic(&self) -> Instant {
        monotonic()
    }

    /// Whether the wall clock can be trusted.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }

    /// This boot, and what the wall clock read at monotonic zero, once it can be trusted: what
    /// [`crate::durable::Boots::learn`] wants to know.
    #[must_use]
    pub fn learned(&self) -> Option<(BootId, i64)> {
        let now = self.now();
        let since_zero = i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX);
        let known = now.quality == TimeQuality::Synced;
        known.then(|| (self.boot, now.unix_ms.saturating_sub(since_zero)))
    }
}

fn monotonic() -> Instant {
    Instant::from_nanos(u64::try_from(nanos(clock_gettime(ClockId::Boottime))).unwrap_or(0))
}

fn unix_ms() -> i64 {
    i64::try_from(nanos(clock_gettime(ClockId::Realtime)) / 1_000_000).unwrap_or(0)
}

fn nanos(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// The first half of the kernel's random identifier of this boot; where there is none, the second at which it
/// began.
fn boot_id() -> BootId {
    // systemd/tidegate.service hides /proc/sys and says the identifier in a variable.
    let text = std::env::var("BOOT_ID")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/random/boot_id"))
        .unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    let began = || {
        let since = i64::try_from(monotonic().as_millis()).unwrap_or(0);
        u64::try_from(unix_ms().saturating_sub(since) / 1000).unwrap_or(0)
    };
    BootId(u64::from_str_radix(&digits, 16).unwrap_or_else(|_| began()))
}

/// Whether the wall clock was set by something that knows the time, as far as files tell.
fn files_say_so() -> bool {
    if unix_ms() < EARLIEST_UNIX_MS {
        return false;
    }
    // systemd-timesyncd leaves a mark. A battery-backed clock that the kernel took its time from is as good. A
    // container, where no systemd runs, has the clock of its host.
    Path::new("/run/systemd/timesync/synchronized").exists()
        || has_hardware_clock()
        || !Path::new("/run/systemd/system").exists()
}

fn has_hardware_clock() -> bool {
    let Ok(clocks) = std::fs::read_dir("/sys/class/rtc") else { return false };
    clocks.flatten().any(|clock| {
        std::fs::read_to_string(clock.path().join("hctosys")).is_ok_and(|text| text.trim() == "1")
    })
}

/// Knows of chrony and ntpd too, but may take its time: never asked on the way of a reading or of the start.
fn timedated_says_so() -> bool {
    if unix_ms() < EARLIEST_UNIX_MS {
        return false;
    }
    let output = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_of_one_boot_agree_and_go_forward() {
        let (first, second) = (Clock::system(), Clock::system());
        let (before, after) = (first.now(), second.now());
        assert_eq!(before.boot, after.boot);
        assert_ne!(before.boot, BootId(0));
        assert!(before.monotonic <= after.monotonic && before.monotonic > Instant::ZERO);
        if let Some((boot, zero)) = first.learned() {
            assert_eq!(boot, before.boot);
            assert!(zero <= before.unix_ms);
        }
    }
}
