//! The profiles at hand: those that come with the program, and those that a user adds or puts in their place.
//!
//! Texts only; a profile is read when it is asked for, so that a broken one harms nobody who does not use it.

use std::collections::BTreeMap;

use super::{Profile, ProfileError, nearest};

macro_rules! shipped {
    ($($id:literal),* $(,)?) => {
        &[$(($id, include_str!(concat!("../../../hardware/profiles/", $id, ".toml")))),*]
    };
}

/// The files of `hardware/profiles`; a test compares the two.
static SHIPPED: &[(&str, &str)] = shipped! {
    "airthings-wave",
    "benewake-tf-luna",
    "csv",
    "dfrobot-a02yyuw",
    "dsmr-p1",
    "eastron-sdm120",
    "eastron-sdm630",
    "enocean-esp3",
    "hhcc-flower-care",
    "hi-link-ld2410",
    "iec62056-21",
    "json-lines",
    "key-value",
    "linky-teleinfo-historic",
    "linky-teleinfo-standard",
    "m-bus",
    "maxbotix-lv-ez",
    "maxbotix-mb7360",
    "mettler-mt-sics",
    "nmea0183",
    "nordic-uart",
    "nova-sds011",
    "plantower-pms5003",
    "plantower-pms5003st",
    "plantower-pms7003",
    "pzem-004t-v3",
    "regex",
    "rtl-433",
    "sartorius-sbi",
    "senseair-k30",
    "senseair-s8",
    "sig-battery",
    "sig-cycling-power",
    "sig-cycling-speed-cadence",
    "sig-device-information",
    "sig-environmental-sensing",
    "sig-health-thermometer",
    "sig-heart-rate",
    "sig-weight-scale",
    "sml",
    "victron-ve-direct",
    "victron-ve-direct-hex",
    "winsen-mh-z19",
    "winsen-ze08-ch2o",
    "xy-md02",
};

/// Profiles by name.
#[derive(Debug, Clone)]
pub struct Library {
    sources: BTreeMap<String, Source>,
}

#[derive(Debug, Clone)]
struct Source {
    file: String,
    text: String,
}

/// Why there is no profile of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// Nobody has written one.
    #[error("there is no profile {name:?}{}", nearest.as_ref().map(|near| format!("; did you mean {near:?}?")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// It has mistakes.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Malformed(Vec<ProfileError>),
}

impl Library {
    /// The profiles that come with the program.
    #[must_use]
    pub fn shipped() -> Library {
        let mut library = Library { sources: BTreeMap::new() };
        for (id, text) in SHIPPED {
            library.add(id, format!("hardware/profiles/{id}.toml"), (*text).to_owned());
        }
        library
    }

    /// Adds a profile, or puts it in the place of the one of that name. `file` is named in errors.
    pub fn add(&mut self, id: &str, file: String, text: String) {
        self.sources.insert(id.to_owned(), Source { file, text });
    }

    /// Reads the profile of that name.
    ///
    /// # Errors
    /// When there is none, or it has mistakes.
    pub fn profile(&self, id: &str) -> Result<Profile, LibraryError> {
        match self.sources.get(id) {
            Some(source) => Profile::parse(id, &source.file, &source.text).map_err(LibraryError::Malformed),
            None => Err(LibraryError::Unknown {
                name: id.to_owned(),
                nearest: nearest(id, self.names()).map(str::to_owned),
            }),
        }
    }

    /// The names of all profiles, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }
}
