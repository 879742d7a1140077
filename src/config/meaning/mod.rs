//! What several keys say together: what is missing, what contradicts, what would loop, what is probably not meant.
//!
//! Values that do not fit their key are passed over here: [`super::check`] has reported them.

pub(super) mod access;
pub(super) mod listeners;
mod sensors;
mod uplinks;

use super::Folder;
use super::profiles::Profiles;
use super::report::Problem;
use super::section::Section;
use super::tree::Table;

pub(super) use uplinks::DEFAULT_FORWARD;

/// Reports everything that is wrong with the file as a whole.
pub(super) fn check(root: &Table, folder: &Folder, profiles: &Profiles, problems: &mut Vec<Problem>) {
    listeners::check(root, problems);
    access::check(root, folder, problems);
    sensors::check(root, folder, profiles, problems);
    uplinks::check(root, folder, problems);
}

/// Reports that a key is missing from its table.
fn missing(section: &Section<'_>, key: &str, what: &str) -> Problem {
    Problem::error(section.path_of(key), section.place.clone(), format!("`{key}` is missing: {what}"))
}
