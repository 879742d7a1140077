//! Many histories of a gateway in virtual time, each from a printed seed: nothing accepted may be lost.
//!
//! `cargo test --test simulation` runs a few hundred; `TIDEGATE_SEEDS=100000` says how many, `TIDEGATE_FIRST_SEED`
//! where to begin, `TIDEGATE_CRASH_POINTS=10000` that it goes on until so many different crashes were survived: of
//! another seed, at another operation of the disk or with another tear, each after something was acknowledged. `TIDEGATE_SEED=7 cargo test --test simulation -- replay --nocapture` shows one history.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::as_conversions, reason = "the numbers of a simulation are small")]
#![allow(clippy::print_stdout, reason = "the summary, and a replay")]
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod agenda;
mod client;
mod cloud;
mod crash_disk;
mod disk;
mod gateway;
mod plan;
mod planted;
mod random;
mod retained;
mod runner;
mod share;
mod subscriber;
mod truth;
mod wire;
mod world;

use plan::PlantedBug;
use runner::Enough;

/// Histories that once went wrong, and why.
const SEEDS_THAT_ONCE_FAILED: [u64; 21] = [
    65,      // an uplink passed over what an earlier run kept last, while that waited to be written again
    1014, // the oldest were given up on a dead disk, and came back after a power cut, behind what was younger
    1345, // a segment of which nothing ever came to disk was missed
    1510, // the same, at the very beginning
    1843, // the same, in the middle
    1905, // the file of the last commit was used again before that commit was safe elsewhere
    3207, // an identifier that came to disk after a reconnect overtook what was to be repeated
    4748, // a clearing was acknowledged while an earlier one at QoS 0 still lingered
    293808, // what went past a full journal at QoS 2 had an identifier that nobody remembered
    409413, // the same, over another kind of death
    234157, // a repetition was acknowledged because of what was read from memory and never came to disk
    247918, // a session was said to be there because of the same
    280562, // a refusal was lost on its way: the harness took its repetition for a message out of order
    722657, // a segment that could not be begun came back after a power cut, in place of the one that was
    779429, // a publisher with a new session overtook what it had published before, which waited for the disk
    1001651, // a retired segment was examined, whose file a run that was killed since had begun to use again
    902410, // an uplink released because of a PUBREC that was read from memory and never came to disk
    1449916, // the same
    1808900, // a session was said to be gone before that was on disk, and came back after a kill
    1889249, // the same
    1238746, // an uplink sent again under an identifier that was read from memory and never came to disk
];

/// A history that goes wrong and was not followed yet: more is owed to an uplink than its share allows.
const SEEDS_THAT_STILL_FAIL: [u64; 1] = [2_274_324];

#[test]
#[ignore = "not mended yet: cargo test --test simulation still -- --ignored --nocapture"]
fn what_still_fails_is_mended() {
    let (summary, failures) = runner::live_through(SEEDS_THAT_STILL_FAIL.into_iter(), None, Enough::NEVER);
    println!("{summary}");
    assert!(failures.is_empty(), "{}", runner::report(&failures));
}

#[test]
fn nothing_accepted_is_lost_in_many_histories() {
    let first = runner::number_from_environment("TIDEGATE_FIRST_SEED").unwrap_or(1);
    let crash_points = runner::number_from_environment("TIDEGATE_CRASH_POINTS");
    let some = if crash_points.is_some() { u64::MAX / 2 } else { 300 };
    let count = runner::number_from_environment("TIDEGATE_SEEDS").unwrap_or(some);
    let enough = Enough { crash_points: crash_points.unwrap_or(u64::MAX), ..Enough::NEVER };
    let (known, mut failures) = runner::live_through(SEEDS_THAT_ONCE_FAILED.into_iter(), None, Enough::NEVER);
    let (summary, others) = runner::live_through(first..first + count, None, enough);
    println!("known: {known}\n{summary}");
    failures.extend(others);
    assert!(failures.is_empty(), "{}", runner::report(&failures));
    assert!(summary.crash_points() >= crash_points.unwrap_or(0), "too few crash points: {summary}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 1..6 {
        assert_eq!(runner::live(seed, None), runner::live(seed, None), "seed {seed}");
    }
}

#[test]
fn a_broker_that_acknowledges_before_the_commit_is_found() {
    runner::assert_found(PlantedBug::AcknowledgesBeforeCommit);
}

#[test]
fn a_disk_that_ignores_sync_is_found() {
    runner::assert_found(PlantedBug::DiskIgnoresSync);
}

#[test]
fn a_cursor_ahead_of_the_acknowledgement_is_found() {
    runner::assert_found(PlantedBug::DoneWhenSent);
}

#[test]
fn a_pubcomp_before_the_release_is_durable_is_found() {
    runner::assert_found(PlantedBug::CompletesBeforeCommit);
}

#[test]
fn a_sync_that_is_tried_again_on_the_same_file_is_found() {
    runner::assert_found(PlantedBug::RetriesSync);
}

#[test]
fn commits_of_an_earlier_life_of_a_file_are_found() {
    runner::assert_found(PlantedBug::StaleCommitsPass);
}

#[test]
fn a_stale_checkpoint_is_found() {
    runner::assert_found(PlantedBug::StaleCheckpoint);
}

#[test]
fn a_share_that_nobody_keeps_to_is_found() {
    runner::assert_found(PlantedBug::ForgetsShare);
}

#[test]
fn a_drop_that_is_told_to_nobody_is_found() {
    runner::assert_found(PlantedBug::DropsUncounted);
}

#[test]
fn replay() {
    if let Some(seed) = runner::number_from_environment("TIDEGATE_SEED") {
        runner::show(seed, None);
    }
}
