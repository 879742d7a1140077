//! What several keys say together: what is missing, what contradicts, what would loop, what is probably not meant.
//!
//! Values that do not fit their key are passed over here: [`super::check`] has reported them.

pub(super) mod access;
mod bluetooth;
pub(super) mod listeners;
mod providers;
mod sensors;
mod uplinks;

use super::Folder;
use super::profiles::Profiles;
use super::report::Problem;
use super::section::Section;
use super::tree::Table;
use crate::stream::{TlsFileError, certificate_ends_at, day};

pub(super) use providers::provider;
pub(super) use uplinks::DEFAULT_FORWARD;

/// Reports everything that is wrong with the file as a whole.
pub(super) fn check(root: &Table, folder: &Folder, profiles: &Profiles, problems: &mut Vec<Problem>) {
    listeners::check(root, folder, problems);
    access::check(root, folder, problems);
    bluetooth::check(root, problems);
    sensors::check(root, folder, profiles, problems);
    uplinks::check(root, folder, problems);
}

/// Reports that a key is missing from its table.
fn missing(section: &Section<'_>, key: &str, what: &str) -> Problem {
    Problem::error(section.path_of(key), section.place.clone(), format!("`{key}` is missing: {what}"))
}

/// From then on before its end a certificate is worth a warning.
const WARN_BEFORE_SECONDS: i64 = 14 * 24 * 3600;

/// Reports a file of certificates or keys that cannot be used, at the key that names it.
fn unusable_file(section: &Section<'_>, key: &str, error: &TlsFileError) -> Problem {
    let named = |file: &std::path::Path| {
        ["cert", "key", "ca", "client_ca"]
            .into_iter()
            .find(|key| section.text(key).is_some_and(|text| file.ends_with(text.trim_start_matches("./"))))
    };
    let key = match error {
        TlsFileError::Unreadable { path, .. } | TlsFileError::Content { path, .. } => {
            named(path).unwrap_or(key)
        }
        _ => key,
    };
    Problem::error(section.path_of(key), section.place_of(key), error.to_string())
}

/// Warns of a certificate that has expired, or will soon.
fn check_end(section: &Section<'_>, key: &str, file: &std::path::Path) -> Option<Problem> {
    let end = certificate_ends_at(&std::fs::read(file).ok()?)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let left = end - i64::try_from(now).ok()?;
    let verb = if left < 0 { "expired" } else { "expires" };
    let message = format!("this certificate {verb} on {}", day(u64::try_from(end).unwrap_or_default()));
    (left < WARN_BEFORE_SECONDS)
        .then(|| Problem::warning(section.path_of(key), section.place_of(key), message))
}
