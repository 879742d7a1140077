//! Runs histories in parallel and says which went wrong, with the command that shows them again.

use std::fmt::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::plan::{Plan, PlantedBug};
use crate::world::{Account, World};

/// How many seeds a planted bug may hide in.
const SEEDS_TO_FIND_A_BUG: u64 = 1_000;

/// A history that broke an invariant.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub message: String,
}

/// Many histories together.
#[derive(Debug, Default)]
pub struct Summary {
    histories: u64,
    total: Account,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        write!(
            formatter,
            "{} histories, {:.1} h: {} messages, {} acknowledged, {} delivered, {} repeated, {} counted as dropped, \
             {} spared the disk; \
             {} deaths, {} of them power cuts; {} distinct crash points after an acknowledgement",
            self.histories,
            total.virtual_time.as_secs_f64() / 3600.0,
            total.messages,
            total.acknowledgements,
            total.deliveries,
            total.repetitions,
            total.dropped,
            total.spared,
            total.deaths,
            total.power_cuts,
            total.crash_points,
        )
    }
}

pub fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Lives one history: its account, or how it broke.
pub fn live(seed: u64, bug: Option<PlantedBug>) -> Result<Account, String> {
    let plan = Plan { bug, ..Plan::new(seed) };
    let lived = panic::catch_unwind(AssertUnwindSafe(|| World::new(plan, false).run()));
    lived.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Shows one history, step by step.
pub fn show(seed: u64, bug: Option<PlantedBug>) {
    let plan = Plan { bug, ..Plan::new(seed) };
    println!("{plan:#?}");
    println!("{:#?}", World::new(plan, true).run());
}

/// When to stop before all seeds were lived through.
#[derive(Debug, Clone, Copy)]
pub struct Enough {
    pub failures: usize,
    pub crash_points: u64,
}

impl Enough {
    pub const NEVER: Enough = Enough { failures: usize::MAX, crash_points: u64::MAX };
}

/// Lives many histories on all cores, until there is enough of something.
pub fn live_through(
    seeds: impl Iterator<Item = u64> + Send,
    bug: Option<PlantedBug>,
    enough: Enough,
) -> (Summary, Vec<Failure>) {
    let seeds = Mutex::new(seeds);
    let results = Mutex::new((Summary::default(), Vec::new()));
    let stop = AtomicBool::new(false);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            let lived = live(seed, bug);
            let (summary, failures) = &mut *results.lock().unwrap();
            match lived {
                Ok(account) => summary.add(&account),
                Err(message) => failures.push(Failure { seed, message }),
            }
            let has_enough =
                failures.len() >= enough.failures || summary.total.crash_points >= enough.crash_points;
            stop.store(has_enough, Ordering::Relaxed);
        }
    };
    quietly(|| {
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(work);
            }
        });
    });
    results.into_inner().unwrap()
}

/// A planted bug must not hide from a thousand histories.
pub fn assert_found(bug: PlantedBug) {
    let (summary, failures) =
        live_through(1..=SEEDS_TO_FIND_A_BUG, Some(bug), Enough { failures: 1, ..Enough::NEVER });
    let found = failures.first().unwrap_or_else(|| panic!("{bug:?} hid from {summary}"));
    println!("{bug:?} was found by seed {}: {}", found.seed, found.message);
}

/// What failed, with the commands that show it.
pub fn report(failures: &[Failure]) -> String {
    let mut text = format!("{} histories went wrong\n", failures.len());
    for Failure { seed, message } in failures.iter().take(20) {
        let message = message.lines().take(6).collect::<Vec<_>>().join("\n    ");
        writeln!(text, "seed {seed}: {message}").unwrap();
        writeln!(text, "    TIDEGATE_SEED={seed} cargo test --test simulation -- replay --nocapture")
            .unwrap();
    }
    text
}

/// Without a backtrace for every panic: they are collected and reported.
fn quietly(work: impl FnOnce()) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    work();
    panic::set_hook(loud);
}

impl Summary {
    pub fn crash_points(&self) -> u64 {
        self.total.crash_points
    }

    fn add(&mut self, account: &Account) {
        self.histories += 1;
        let total = &mut self.total;
        total.virtual_time += account.virtual_time;
        total.messages += account.messages;
        total.acknowledgements += account.acknowledgements;
        total.deliveries += account.deliveries;
        total.repetitions += account.repetitions;
        total.deaths += account.deaths;
        total.power_cuts += account.power_cuts;
        total.dropped += account.dropped;
        total.spared += account.spared;
        total.crash_points += account.crash_points;
    }
}
