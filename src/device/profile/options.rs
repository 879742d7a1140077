//! What a user may say of one sensor beside its profile: names for columns and keys, another speed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use regex::Regex;
use serde::Deserialize;

use super::fields::{measurement_name, unreadable};
use super::{Profile, SerialFormat};
use crate::device::decoder::{Decoder, JsonField, KeyValueField, Meaning, Path, PatternField};

use crate::device::protocol::{Meter, Protocol};
use crate::device::secret::{MeterKey, MeterKeys};
use crate::reading::MeasurementName;

/// Keys of `[sensor.NAME]` that complete or change its profile.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Bits per second, instead of the profile's.
    pub baud: Option<u32>,
    /// `8N1`, instead of the profile's.
    pub format: Option<String>,
    /// The names of a line's columns in order; `""` and `"-"` pass one over.
    pub columns: Option<Vec<String>>,
    /// What stands between two columns: one character.
    pub separator: Option<String>,
    /// The device's key, or path of keys, to the name of the measurement. With a map nothing else is taken.
    pub map: Option<BTreeMap<String, String>>,
    /// A regular expression with a group of each measurement's name.
    pub pattern: Option<String>,
    /// What the senders of a radio stick are: `{ "0181b7ee" = "A5-02-05" }`.
    pub eep: Option<BTreeMap<String, String>>,
    /// How often the device is asked, instead of the profile's.
    pub interval_ms: Option<u64>,
    /// Which meter of a line: its address, or its number.
    pub meter: Option<String>,
    /// What the device encrypts its frames with.
    pub key: Option<MeterKey>,
    /// The other key of the same meter, where it has one of its own.
    pub authentication_key: Option<MeterKey>,
}

/// An option that does not fit the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionsError {
    /// Which key is wrong, or is missing.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

impl Profile {
    /// This profile as one sensor's options complete it.
    ///
    /// # Errors
    /// When an option does not fit the profile, or one that it needs is missing.
    pub fn with_options(mut self, options: &Options) -> Result<Profile, OptionsError> {
        if let Some(baud) = options.baud {
            check(baud > 0, "baud", || "a line has at least 1 bit per second".to_owned())?;
            match &mut self.serial {
                Some(serial) => serial.baud = baud,
                None => return Err(wrong("baud", format!("a {} is on no serial line", self.id))),
            }
        }
        if let Some(format) = &options.format {
            let parsed = SerialFormat::parse(format)
                .ok_or_else(|| wrong("format", format!("{format:?} is not written as 8N1 or 7E1 is")))?;
            match &mut self.serial {
                Some(serial) => serial.format = parsed,
                None => return Err(wrong("format", format!("a {} is on no serial line", self.id))),
            }
        }
        if let Some(interval_ms) = options.interval_ms {
            let id = &self.id;
            check(interval_ms > 0, "interval_ms", || "the interval is at least 1 ms".to_owned())?;
            let is_asked = !self.polls.is_empty() || self.modbus.is_some() || self.gatt.is_some();
            check(is_asked, "interval_ms", || {
                format!("a device of profile {id} speaks by itself, it is not asked")
            })?;
            if let Some(gatt) = &mut self.gatt {
                check(interval_ms >= 1000, "interval_ms", || {
                    "a device is visited at most once a second".to_owned()
                })?;
                gatt.interval = std::time::Duration::from_millis(interval_ms);
            }
            for poll in &mut self.polls {
                poll.interval = std::time::Duration::from_millis(interval_ms);
            }
            for read in self.modbus.iter_mut().flat_map(|modbus| &mut modbus.reads) {
                read.interval = std::time::Duration::from_millis(interval_ms);
            }
        }
        self.name_columns(options)?;
        self.name_groups(options)?;
        self.name_keys(options)?;
        self.name_senders(options)?;
        self.choose_meter(options)?;
        self.take_keys(options)?;
        Ok(self)
    }

    fn choose_meter(&mut self, options: &Options) -> Result<(), OptionsError> {
        let Some(written) = &options.meter else { return Ok(()) };
        let Decoder::MBus(chosen) = &mut self.decoder else {
            return Err(wrong("meter", format!("profile {} is none of the M-Bus", self.id)));
        };
        let meter = Meter::parse(written).ok_or_else(|| {
            let message =
                "a meter is its address, \"0\" to \"250\", or its number of eight digits, F for any digit";
            wrong("meter", format!("{written:?} is no meter: {message}"))
        })?;
        for poll in &mut self.polls {
            poll.send = meter.request().into();
            poll.select = meter.selection().map(Bytes::from);
        }
        *chosen = Some(meter);
        Ok(())
    }

    /// Whether its devices may encrypt what they send, so that a sensor may have a `key`.
    #[must_use]
    pub fn takes_key(&self) -> bool {
        self.framing.protocol == Some(Protocol::Iec62056)
    }

    fn take_keys(&mut self, options: &Options) -> Result<(), OptionsError> {
        let given =
            [("key", options.key.is_some()), ("authentication_key", options.authentication_key.is_some())];
        if let Some((key, _)) = given.into_iter().find(|(_, is_given)| *is_given && !self.takes_key()) {
            return Err(wrong(key, format!("profile {} reads nothing that is encrypted", self.id)));
        }
        match (&options.key, &options.authentication_key) {
            (None, Some(_)) => Err(wrong("authentication_key", "it is of no use without `key`".to_owned())),
            (None, None) => Ok(()),
            (Some(key), other) => {
                Arc::make_mut(&mut self.framing).keys = Some(MeterKeys::new(key.clone(), other.clone()));
                Ok(())
            }
        }
    }

    fn name_columns(&mut self, options: &Options) -> Result<(), OptionsError> {
        let Decoder::Csv(csv) = &mut self.decoder else {
            let given = [("columns", options.columns.is_some()), ("separator", options.separator.is_some())];
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => Err(wrong(key, format!("profile {} has no columns", self.id))),
                None => Ok(()),
            };
        };
        if let Some(separator) = &options.separator {
            let mut characters = separator.chars();
            csv.separator = match (characters.next(), characters.next()) {
                (Some(character), None) => character,
                _ => return Err(wrong("separator", "the separator is one character".to_owned())),
            };
        }
        if let Some(columns) = &options.columns {
            csv.columns.clear();
            for (index, column) in columns.iter().enumerate() {
                let passed_over = matches!(column.as_str(), "" | "-");
                check(
                    passed_over || !columns.iter().take(index).any(|known| known == column),
                    "columns",
                    || format!("two columns are called {column:?}"),
                )?;
                let meaning = if passed_over { None } else { Some(Meaning::plain(name("columns", column)?)) };
                csv.columns.push(meaning);
            }
        }
        check(csv.columns.iter().any(Option::is_some), "columns", || {
            "the columns have no names: columns = [\"temperature\", \"humidity\"]".to_owned()
        })
    }

    fn name_groups(&mut self, options: &Options) -> Result<(), OptionsError> {
        let Decoder::Pattern(pattern) = &mut self.decoder else {
            let id = &self.id;
            return check(options.pattern.is_none(), "pattern", || format!("profile {id} takes no pattern"));
        };
        if let Some(written) = &options.pattern {
            let expression = Regex::new(written).map_err(|error| wrong("pattern", unreadable(&error)))?;
            pattern.fields.clear();
            for (group, text) in expression.capture_names().enumerate() {
                if let Some(text) = text {
                    pattern.fields.push(PatternField {
                        group,
                        meaning: Meaning::plain(name("pattern", text)?),
                        scale_by: None,
                    });
                }
            }
            pattern.expression = Some(expression);
        }
        check(!pattern.fields.is_empty(), "pattern", || {
            "the pattern has no named group: pattern = '^R(?<distance>\\d+)'".to_owned()
        })
    }

    fn name_senders(&mut self, options: &Options) -> Result<(), OptionsError> {
        let Some(senders) = &options.eep else { return Ok(()) };
        let Decoder::EnOcean(known) = &mut self.decoder else {
            return Err(wrong("eep", format!("profile {} hears no radio", self.id)));
        };
        for (sender, eep) in senders {
            let sender: String = sender.to_ascii_lowercase().chars().filter(|c| *c != ':').collect();
            check(sender.len() == 8 && sender.bytes().all(|digit| digit.is_ascii_hexdigit()), "eep", || {
                format!("{sender:?} is no sender: eight hexadecimal digits, as on the device")
            })?;
            let eep = eep.to_ascii_uppercase();
            check(known.equipment.contains_key(&eep), "eep", || {
                let all: Vec<&str> = known.equipment.keys().map(String::as_str).collect();
                format!("{eep:?} is no equipment profile that is known; known are {}", all.join(", "))
            })?;
            known.senders.insert(sender, eep);
        }
        Ok(())
    }

    fn name_keys(&mut self, options: &Options) -> Result<(), OptionsError> {
        let Some(map) = &options.map else {
            return Ok(());
        };
        check(!map.is_empty(), "map", || "the map is empty: map = { T = \"temperature\" }".to_owned())?;
        for (key, to) in map {
            let meaning = Meaning::plain(name("map", to)?);
            match &mut self.decoder {
                Decoder::Json(json) => {
                    json.fields.retain(|known| known.meaning.name != meaning.name);
                    json.fields.push(JsonField { meaning, path: Path::parse(key) });
                }
                Decoder::KeyValue(pairs) => {
                    pairs.fields.retain(|known| known.meaning.name != meaning.name && known.key != *key);
                    pairs.fields.push(KeyValueField { key: key.clone(), meaning });
                }
                _ => return Err(wrong("map", format!("profile {} has no keys to map", self.id))),
            }
        }
        Ok(())
    }
}

fn name(key: &'static str, text: &str) -> Result<MeasurementName, OptionsError> {
    measurement_name(text).map_err(|message| wrong(key, message))
}

fn check(good: bool, key: &'static str, message: impl FnOnce() -> String) -> Result<(), OptionsError> {
    if good { Ok(()) } else { Err(wrong(key, message())) }
}

fn wrong(key: &'static str, message: String) -> OptionsError {
    OptionsError { key, message }
}
