//! The configuration file: read, judged as a whole, and turned into plain values.
//!
//! A file goes through: TOML with places (`tree`) → values given outside of it (`overrides`) → unknown keys,
//! types and ranges (`check`, after the tables of `schema`) → what keys say together (`meaning`) → [`Config`]
//! (`build`). Every problem is collected, none stops the search; `report` shows them. Never opens a port and never connects: `tidegate check --online` does, in [`crate::cli`].

mod build;
mod check;
mod kind;
mod meaning;
mod model;
mod overrides;
pub(crate) mod ports;
mod profiles;
mod reference;
mod report;
mod schema;
mod schema_uplink;
mod secret;
mod section;
mod server;
#[cfg(test)]
mod tests;
mod tree;
mod uplinks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use build::DEFAULT_DATA_DIR;
pub use model::{Ble, Config, Gateway, Journal, Listener, Payload, Sensor, Server, Source, Uplink};
pub use overrides::Overrides;
pub use reference::reference;
pub use report::{Place, Problem, Problems, Severity};
pub use secret::{Secret, SecretError};

use profiles::Profiles;
use section::Section;

/// A configuration that the gateway can start with.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What is not as it could be.
    pub warnings: Problems,
    places: BTreeMap<String, Place>,
}

impl Loaded {
    /// Where the value of a key was written, as in `uplink.cloud.url`; else where its table was.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        let table = key.rsplit_once('.').map_or(key, |(table, _)| table);
        self.places.get(key).or_else(|| self.places.get(table)).cloned().unwrap_or(Place::File)
    }
}

/// Reads a configuration file with the values given outside of it.
///
/// # Errors
/// Everything that is wrong with it, warnings included, when there is at least one error.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path, overrides),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            Err(Problems::new(path, "", vec![Problem::error("", Place::File, message)]))
        }
    }
}

/// Reads a configuration from its text; `path` is what relative paths are relative to, and its name in reports.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path, overrides: &Overrides) -> Result<Loaded, Problems> {
    let folder = Folder::of(path);
    let mut unreadable = Vec::new();
    let mut root = tree::parse(text, &mut unreadable);
    let mut problems = Vec::new();
    overrides.apply(&mut root, &mut problems);
    check::check(&root, &schema::ROOT, &mut problems);
    if unreadable.is_empty() {
        let gateway = Section::of_root(&root, "gateway");
        let dirs = build::profile_dirs(&gateway, &folder);
        let profiles = Profiles::load(&gateway, &dirs, &mut problems);
        meaning::check(&root, &folder, &profiles, &mut problems);
    }
    problems.retain(|problem| !unreadable.iter().any(|other| problem.place.shares_line(&other.place, text)));
    problems.append(&mut unreadable);
    let problems = Problems::new(path, text, problems);
    if problems.has_errors() {
        return Err(problems);
    }
    Ok(Loaded { config: build::build(&root, &folder), warnings: problems, places: root.places() })
}

/// The folder of the file, to which its relative paths belong.
struct Folder(PathBuf);

impl Folder {
    fn of(file: &Path) -> Folder {
        Folder(file.parent().map(Path::to_owned).unwrap_or_default())
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// A secret whose file, if it is one, belongs to this folder.
    fn secret(&self, text: &str) -> Secret {
        match Secret::parse(text) {
            Secret::File(path) => Secret::File(self.0.join(path)),
            other => other,
        }
    }
}
