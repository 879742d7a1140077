//! What a sensor says of its profile: that it exists, that it is sound, that the options fit.

use std::path::PathBuf;

use super::build;
use super::report::{Place, Problem};
use super::section::Section;
use crate::adapter::profiles::library;
use crate::device::{Library, LibraryError, Profile, nearest};

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
                problems.extend(self.check_way(sensor, &profile));
                problems.extend(check_key(sensor, &profile));
                if let Err(error) = profile.with_options(&build::options(sensor)) {
                    problems.push(wrong(error.key, sensor.place_of(error.key), error.message));
                }
            }
            Err(LibraryError::Unknown { .. }) => {
                let problem = wrong("profile", place, format!("there is no profile {name:?}"));
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

    /// A Modbus line is for devices that speak Modbus, and a unit is one of them.
    fn check_way(&self, sensor: &Section<'_>, profile: &Profile) -> Option<Problem> {
        let is_in_the_air = sensor.node("ble").is_some();
        if is_in_the_air != profile.gatt.is_some() {
            let message = if is_in_the_air {
                format!("a {} is on a wire; what a Bluetooth sensor advertises needs no profile", profile.id)
            } else {
                format!("a {} is read over Bluetooth", profile.id)
            };
            let problem = Problem::error(sensor.path_of("profile"), sensor.place_of("profile"), message);
            return Some(if is_in_the_air { problem } else { problem.help("ble = \"A4:C1:38:12:34:56\"") });
        }
        let (key, message) = match &profile.modbus {
            None if sensor.node("modbus").is_some() => {
                ("modbus", format!("a {} speaks no Modbus", profile.id))
            }
            None if sensor.node("unit").is_some() => {
                ("unit", format!("`unit` belongs to modbus, a {} speaks none", profile.id))
            }
            Some(modbus) if modbus.unit.is_none() && sensor.node("unit").is_none() => {
                ("unit", "the sensor's number on the Modbus line is missing, 1 to 247".to_owned())
            }
            _ => return None,
        };
        let problem = Problem::error(sensor.path_of(key), sensor.place_of(key), message);
        Some(if key == "modbus" { problem.help("serial = \"...\"") } else { problem.help("unit = 1") })
    }

    pub(super) fn advice(&self) -> String {
        format!("known are {}", self.0.names().collect::<Vec<_>>().join(", "))
    }
}

/// A key opens what is encrypted: not every serial device has that.
fn check_key(sensor: &Section<'_>, profile: &Profile) -> Option<Problem> {
    sensor.node("serial")?;
    let wrong = |key: &str, message| Problem::error(sensor.path_of(key), sensor.place_of(key), message);
    match (sensor.node("key"), sensor.node("authentication_key")) {
        (Some(_), _) if !profile.takes_key() => {
            Some(wrong("key", format!("a {} sends nothing that is encrypted", profile.id)))
        }
        (None, Some(_)) => {
            let problem = wrong("authentication_key", "it is of no use without `key`".to_owned());
            Some(problem.help("key = \"file:meter.key\""))
        }
        _ => None,
    }
}
