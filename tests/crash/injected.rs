//! A real process whose system calls fail, one after the other: `strace` injects what a disk may do.

use std::process::{Command, Stdio};

use crate::skips::skip;
use crate::writer;

const COMMITS: u64 = 24;

fn strace_works() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1000", "true"]);
    strace.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// How often the writer asks for `call` in a run.
fn calls_of(call: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let (trace, out) = (format!("trace={call}"), log.to_str().unwrap().to_owned());
    let mut child =
        writer::start(&["strace", "-qq", "-f", "-o", &out, "-e", &trace], &folder.path().join("j"), COMMITS);
    writer::said(child.stdout.take().unwrap());
    child.wait().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    log.lines().filter(|line| line.contains(&format!("{call}("))).count() as u64
}

/// The writer runs with one injection: what it promised, and the lines that it said.
fn run_with(injection: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("j");
    let inject = format!("inject={injection}");
    let wrapper = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", &inject];
    let mut child = writer::start(&wrapper, &journal, COMMITS);
    let said = writer::said(child.stdout.take().unwrap());
    child.wait().unwrap();
    let promised = said.iter().filter_map(|line| writer::committed(line)).max().unwrap_or_default();
    let again = writer::check(&journal, promised);
    // It goes on from there, on a disk that is well again.
    let mut child = writer::start(&[], &journal, 3);
    let more = writer::said(child.stdout.take().unwrap());
    assert!(child.wait().unwrap().success(), "{injection}: {more:?}");
    let promised = more.iter().filter_map(|line| writer::committed(line)).max().unwrap();
    assert!(promised > again);
    writer::check(&journal, promised);
    said
}

/// Each sync in turn fails with EIO, and each write in turn with ENOSPC and EIO: what was promised before and after is
/// there, and everything else was promised too, for the journal goes on elsewhere.
#[test]
fn an_error_at_any_call_loses_nothing() {
    if !strace_works() {
        return skip("needs strace and the right to trace");
    }
    let syncs = calls_of("fdatasync");
    assert!(syncs >= COMMITS, "{syncs} syncs for {COMMITS} commits");
    let mut told = 0;
    for when in 1..=syncs {
        let said = run_with(&format!("fdatasync:error=EIO:when={when}"));
        told += u64::from(said.iter().any(|line| line.starts_with("alarm")));
        let last = said.iter().filter_map(|line| writer::committed(line)).max();
        assert_eq!(last, Some(3 * COMMITS), "sync {when}: everything was kept all the same");
    }
    // Where a segment only begins, another one is begun and nobody needs to know.
    assert!(told * 2 > syncs, "of {syncs} failures {told} were told");
    for (error, step) in [("ENOSPC", 5), ("EIO", 7)] {
        for when in (1..calls_of("pwrite64")).step_by(step) {
            run_with(&format!("pwrite64:error={error}:when={when}"));
        }
    }
}

/// The process is killed at each sync in turn, before it is done.
#[test]
fn a_kill_at_any_sync_loses_nothing() {
    if !strace_works() {
        return skip("needs strace and the right to trace");
    }
    for when in 1..=calls_of("fdatasync") {
        run_with(&format!("fdatasync:signal=KILL:when={when}"));
    }
}

/// From some sync on every one fails: nothing more is promised, and nothing that was promised is lost.
#[test]
fn a_disk_that_dies_promises_nothing_more() {
    if !strace_works() {
        return skip("needs strace and the right to trace");
    }
    for when in [1, 2, 7, 15] {
        let said = run_with(&format!("fdatasync:error=EIO:when={when}+"));
        let dead = said.iter().position(|line| line == "dead").expect("it says that the disk is dead");
        let late = said[dead..].iter().filter_map(|line| writer::committed(line)).count();
        assert_eq!(late, 0, "sync {when}: {said:?}");
    }
}
