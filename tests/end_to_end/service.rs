//! The program as a service: it ends when asked, and says so in its exit status.

use std::time::Duration;

use crate::program::Program;

/// The contract: SIGTERM ends it cleanly within 5 s, exit 0.
#[test]
fn sigterm_ends_it_cleanly() {
    let program = Program::start("");
    let (status, took) = program.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
