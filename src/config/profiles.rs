//! What a sensor says of its profile: that it exists, that it is sound, that the options fit.

use std::path::PathBuf;

use super::build;
use super::report::{Place, Problem, Severity};
use super::section::Section;
use crate::adapter::profiles::library;
use crate::device::{Library, LibraryError, nearest};

/// The profiles that sensors may have.
pub(super) struct Profiles(Library);

impl Profiles {
    /// The shipped ones with those of the folders; what cannot be read there is a problem of `profile_dirs`.
    pub(super) fn load(gateway: &Section<'_>, folders: &[PathBuf], problems: &mut Vec<Problem>) -> Profiles {
        let (library, unreadable) = library(folders);
        let place = || gateway.place_of("profile_dirs");
        let problem = |message| Problem::error(gateway.path_of("profile_dirs"), place(), message);
        problems.extend(unreadable.into_iter().map(problem));
        Profiles(library)
    }

    /// Reports what is wrong with a sensor's profile and with what it says beside it.
    pub(super) fn check(&self, sensor: &Section<'_>, name: &str, problems: &mut Vec<Problem>) {
        let wrong =
            |key: &str, place: Place, message: String| Problem::error(sensor.path_of(key), place, message);
        let place = sensor.place_of("profile");
        match self.0.profile(name) {
            Ok(profile) => {
                if let Err(error) = profile.with_options(&build::options(sensor)) {
                    problems.push(wrong(error.key, sensor.place_of(error.key), error.message));
                }
            }
            Err(LibraryError::Unknown { .. }) => {
                let mut problem = wrong("profile", place, format!("there is no profile {name:?}"));
                if sensor.node("modbus").is_some() {
                    // Such a sensor is left out anyway: profiles of Modbus devices come with Modbus.
                    problem.severity = Severity::Warning;
                }
                problems.push(match nearest(name, self.0.names()) {
                    Some(near) => problem.help(format!("did you mean {near:?}?")),
                    None => problem.help(self.advice()),
                });
            }
            Err(LibraryError::Malformed(mistakes)) => {
                let problem = |mistake: crate::device::ProfileError| {
                    wrong("profile", place.clone(), format!("profile {name:?} has a mistake: {mistake}"))
                };
                problems.extend(mistakes.into_iter().map(problem));
            }
        }
    }

    pub(super) fn advice(&self) -> String {
        format!("known are {}", self.0.names().collect::<Vec<_>>().join(", "))
    }
}
