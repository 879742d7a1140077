//! Independent Python packages of PyPI, in a folder of the build, and the frames that they make.

#[path = "python.rs"]
mod python;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub(crate) const PACKAGES: [&str; 7] =
    ["pynmea2", "dsmr-parser", "smllib", "pyMeterBus", "minimalmodbus", "cobs", "sliplib"];
const MAKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/devices/oracles.py");

/// Profiles of frames that no device of the shipped ones has.
const STUFFED: &str = r#"
    device = { model = "x", about = "x" }
    serial = { baud = 9600 }
    frame = { stuffing = "STUFFING", shortest = 8 }
    field = [
        { name = "a", at = 0, type = "i16le", scale = 0.01 },
        { name = "b", at = 2, type = "u16le", scale = 0.01 },
        { name = "count", at = 4, type = "u32le" },
    ]
"#;

/// The Python with the packages; `None`: it cannot be installed here.
pub(crate) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(|| python::with_packages("oracles", &PACKAGES)).as_deref()
}

/// What the maker of frames says when it is run for a package.
pub(crate) fn made_by(python: &Path, package: &str, count: &str, seed: &str, more: &[&str]) -> String {
    let output = Command::new(python).args([MAKER, package, count, seed]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the profiles that the frames need beside the shipped ones.
pub(crate) fn profiles() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for stuffing in ["cobs", "slip"] {
        let text = STUFFED.replace("STUFFING", stuffing);
        std::fs::write(folder.path().join(format!("stuffed-{stuffing}.toml")), text).unwrap();
    }
    folder
}
