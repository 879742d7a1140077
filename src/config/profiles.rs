//! The names of the device profiles that a sensor may have.

use super::nearest::nearest;

/// Names of profiles: those in the program and those of `profile_dirs`.
pub(super) struct Profiles {
    names: Vec<String>,
}

/// Profiles that know no device, but a way of writing.
const SHIPPED: [&str; 6] =
    ["nova-sds011", "plantower-pms5003", "winsen-mh-z19", "json-lines", "csv", "key-value"];

impl Profiles {
    pub(super) fn load(dirs: &[std::path::PathBuf]) -> Profiles {
        let mut names: Vec<String> = SHIPPED.map(str::to_owned).into();
        for dir in dirs {
            let Ok(entries) = std::fs::read_dir(dir) else { continue };
            let stems = entries.flatten().map(|entry| entry.path());
            let stems = stems.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
            names.extend(stems.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
        }
        names.sort_unstable();
        names.dedup();
        Profiles { names }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.names.iter().map(String::as_str))
    }

    pub(super) fn advice(&self) -> String {
        format!("known are {}", self.names.join(", "))
    }
}
