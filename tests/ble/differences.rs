//! Where independent packages read something else than we do, and why.

use serde_json::{Map, Value};

/// A difference that is known.
pub(super) struct Difference {
    /// Of which family.
    pub(super) family: &'static str,
    /// Their names for what differs, also with a number behind; `*`: whatever it is.
    pub(super) keys: &'static [&'static str],
    /// Why.
    pub(super) why: &'static str,
    /// Whether it is this one.
    pub(super) holds: fn(&Case<'_>) -> bool,
}

/// One value that differs.
pub(super) struct Case<'a> {
    /// What the package says.
    pub(super) theirs: &'a Value,
    /// What we say of the same quantity.
    pub(super) ours: Option<&'a Value>,
    /// Everything that we say.
    pub(super) all: &'a Map<String, Value>,
    /// Why we say nothing.
    pub(super) error: Option<&'static str>,
    /// The advertisement.
    pub(super) row: &'a Map<String, Value>,
}

impl Case<'_> {
    /// Whether ours is theirs times this, within `tolerance`.
    fn is_times(&self, factor: f64, tolerance: f64) -> bool {
        match (self.theirs.as_f64(), self.ours.and_then(Value::as_f64)) {
            (Some(theirs), Some(ours)) => (theirs * factor - ours).abs() <= tolerance,
            _ => false,
        }
    }

    fn we_say(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// Whether a second value of ours is theirs, times one of these.
    fn is_second(&self, name: &str, factors: [f64; 3]) -> bool {
        let second = self.we_say(&format!("{name}_2")).and_then(Value::as_f64);
        let theirs = self.theirs.as_f64().unwrap_or(f64::NAN);
        second.is_some_and(|ours| factors.iter().any(|factor| (theirs * factor - ours).abs() < 0.01))
    }

    fn is_about(&self, service: &str) -> bool {
        self.row.get("service_data").is_some_and(|data| data.get(service).is_some())
    }
}

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        family: "ruuvi",
        keys: &["voltage"],
        why: "ruuvitag-ble says millivolts",
        holds: |case| case.is_times(0.001, 1e-6),
    },
    Difference {
        family: "ruuvi",
        keys: &["acceleration_total"],
        why: "the length of the vector is a figure of ruuvitag-ble's own: the tag says its three parts",
        holds: |case| {
            let part = |name: &str| case.we_say(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
            let sum = ["acceleration_x", "acceleration_y", "acceleration_z"].map(|name| part(name).powi(2));
            let length = sum.iter().sum::<f64>().sqrt();
            case.ours.is_none() && (length - case.theirs.as_f64().unwrap()).abs() < 0.02
        },
    },
    Difference {
        family: "ruuvi",
        keys: &["iaqs"],
        why: "an index that ruuvitag-ble computes from PM2.5 and CO2: the device does not say it",
        holds: |case| case.ours.is_none(),
    },
    Difference {
        family: "ruuvi",
        keys: &["illuminance"],
        why: "ruuvitag-ble rounds to whole lux",
        holds: |case| case.is_times(1.0, 0.51),
    },
    Difference {
        family: "ruuvi",
        keys: &["movement_counter"],
        why: "255 says that there is no counter (data format 5)",
        holds: |case| *case.theirs == 255 && case.ours.is_none(),
    },
    Difference {
        family: "bthome",
        keys: &["distance"],
        why: "object 0x40 is in millimetres, we say metres",
        holds: |case| case.is_times(0.001, 1e-6),
    },
    Difference {
        family: "bthome",
        keys: &["volume"],
        why: "object 0x48 is in millilitres, we say litres",
        holds: |case| case.is_times(0.001, 1e-6),
    },
    Difference {
        family: "bthome",
        keys: &["mass"],
        why: "object 0x07 is in pounds, we say kilograms",
        holds: |case| case.is_times(0.453_592_37, 0.001),
    },
    Difference {
        family: "bthome",
        keys: &["temperature"],
        why: "objects 0x57 and 0x58 have steps of 1 and 0.35 degrees: bthome-ble rounds the latter to tenths",
        holds: |case| case.is_times(1.0, 0.051),
    },
    Difference {
        family: "bthome",
        keys: &["event:dimmer"],
        why: "bthome-ble has the steps beside the event, we have both in one value; of several the last counts with us",
        holds: |case| case.ours.is_some_and(|ours| ours["event"].is_string()),
    },
    Difference {
        family: "bthome",
        keys: &["distance", "mass", "volume"],
        why: "of two objects of one quantity in different steps bthome-ble keeps the last, we number them",
        holds: |case| {
            let factors = [1.0, 0.001, 0.453_592_37];
            ["distance", "weight", "volume"].iter().any(|name| case.is_second(name, factors))
        },
    },
    Difference {
        family: "bthome",
        keys: &["is:gas"],
        why: "gas that leaks and gas that was used have one name: of both in one frame the later counts",
        holds: |case| case.ours.is_some_and(Value::is_number),
    },
    Difference {
        family: "bthome",
        keys: &["*"],
        why: "bthome-ble takes what comes before an object that is cut off; a frame that lies about a length gives nothing",
        holds: |case| case.error == Some("truncated"),
    },
    Difference {
        family: "xiaomi",
        keys: &["humidity"],
        why: "xiaomi-ble rounds the float of objects 0x4C08 and 0x4808 to tenths",
        holds: |case| case.is_times(1.0, 0.051),
    },
    Difference {
        family: "xiaomi",
        keys: &["temperature"],
        why: "xiaomi-ble rounds the float of objects 0x4C01 and 0x4801 to tenths",
        holds: |case| case.is_times(1.0, 0.051),
    },
    Difference {
        family: "xiaomi",
        keys: &["nothing"],
        why: "xiaomi-ble reads some objects of some models only; an object means the same whoever sends it",
        holds: |case| !case.all.is_empty(),
    },
    Difference {
        family: "sensorpush",
        keys: &["humidity", "temperature"],
        why: "a half is rounded to even by Python, away from zero by us",
        holds: |case| case.is_times(1.0, 0.0101),
    },
    Difference {
        family: "qingping",
        keys: &["is:door"],
        why: "what a contact says is called opening, as with every other contact",
        holds: |case| case.we_say("opening") == Some(case.theirs),
    },
    Difference {
        family: "thermobeacon",
        keys: &["is:occupancy"],
        why: "thermobeacon-ble calls the pressed button occupancy",
        holds: |case| case.we_say("button") == Some(case.theirs),
    },
    Difference {
        family: "thermobeacon",
        keys: &["battery"],
        why: "a half is rounded to even by Python, away from zero by us",
        holds: |case| case.is_times(1.0, 1.001),
    },
    Difference {
        family: "theengs",
        keys: &["nothing"],
        why: "Theengs knows fewer models and objects",
        holds: |case| !case.all.is_empty(),
    },
    Difference {
        family: "theengs",
        keys: &["temperature_2"],
        why: "Theengs numbers the probes of a barbecue as temperatures",
        holds: |case| case.we_say("temperature_probe_2") == Some(case.theirs),
    },
    Difference {
        family: "theengs",
        keys: &["pressure"],
        why: "Theengs does not round SensorPush's pressure to its hundredths of a hectopascal",
        holds: |case| case.is_times(1.0, 0.0101),
    },
    Difference {
        family: "theengs",
        keys: &["temperature"],
        why: "Theengs keeps the humidity in the last digits of a negative temperature of Govee",
        holds: |case| case.is_times(1.0, 0.101),
    },
    Difference {
        family: "theengs",
        keys: &["voltage"],
        why: "Theengs takes the eleven bits that say that there is no voltage (data format 5) for one",
        holds: |case| case.ours.is_none() && case.theirs.as_f64() == Some(3.647),
    },
    Difference {
        family: "theengs",
        keys: &["*"],
        why: "Theengs looks for Qingping's objects at fixed places, whichever object stands there",
        holds: |case| case.is_about("fdcd"),
    },
];
