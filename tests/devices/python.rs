//! A Python with packages of PyPI, in a folder of the build that is made once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python in `folder`, with these packages; `None`: they cannot be installed here.
pub(crate) fn with_packages(folder: &str, packages: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let (python, done) = (folder.join("bin/python"), folder.join("done"));
    let succeeds = |command: &mut Command| {
        let outcome = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        outcome.is_ok_and(|status| status.success())
    };
    if !done.exists() {
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            && succeeds(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(packages));
        if !made {
            return None;
        }
        std::fs::write(&done, "").unwrap();
    }
    Some(python)
}
