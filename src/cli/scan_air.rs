//! The Bluetooth half of `tidegate scan`: what is in the air, decoded as the gateway would, strangers marked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::adapter::ble::{AdvertSource as _, Antenna, BlueZ, Heard};
use crate::clock::Clock;
use crate::device::ProblemKind;
use crate::device::ble::{Memory, decode};
use crate::limits;
use crate::route::render_value;

/// How long a machine may take to say that it has no Bluetooth.
const GRACE: Duration = Duration::from_millis(1500);
/// How often what is known is shown meanwhile.
const SHOW: Duration = Duration::from_secs(1);
/// Columns of a name in the table...
const NAME: usize = 12;
/// ...and of a model.
const MODEL: usize = 16;
/// What people look for first.
const FIRST: [&str; 3] = ["temperature", "humidity", "battery"];

/// A device in the air.
#[derive(Debug, Default)]
pub(super) struct Device {
    name: Option<String>,
    rssi: Option<i16>,
    model: String,
    family: Option<&'static str>,
    readings: BTreeMap<String, Value>,
    needs_key: bool,
}

/// By their addresses.
pub(super) type Devices = BTreeMap<String, Device>;

/// What was heard.
pub(super) struct Air {
    pub(super) devices: Devices,
    /// Why nothing could be.
    pub(super) problem: Option<String>,
}

/// Listens for `duration`; shorter where there is no Bluetooth. What is known so far is given to `show` every second.
pub(super) fn listen(duration: Duration, mut show: impl FnMut(&Devices)) -> std::io::Result<Air> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let antenna = Arc::new(Antenna::default());
        let mut ear = antenna.tune_to_others();
        let source = tokio::spawn(BlueZ { clock: Clock::system() }.listen(Arc::clone(&antenna)));
        let start = Instant::now();
        let mut devices = Devices::new();
        let mut show_at = start;
        sleep_until(start + GRACE.min(duration)).await;
        while antenna.problem().is_none() || !devices.is_empty() {
            if Instant::now() >= show_at {
                show(&devices);
                show_at = Instant::now() + SHOW;
            }
            let heard = match timeout_at(show_at.min(start + duration), ear.recv()).await {
                Ok(Some(heard)) => heard,
                Err(_) if Instant::now() < start + duration => continue,
                Ok(None) | Err(_) => break,
            };
            let address = heard.fresh.address.to_string();
            if devices.len() < limits::BLE_DEVICES || devices.contains_key(&address) {
                devices.entry(address).or_default().hear(&heard);
            }
        }
        source.abort();
        let problem = antenna.problem().filter(|_| devices.is_empty());
        Air { devices, problem }
    }))
}

impl Device {
    fn hear(&mut self, heard: &Heard) {
        self.rssi = heard.fresh.rssi.or(self.rssi);
        if let Some(name) = &heard.fresh.name {
            self.name = Some(name.clone());
        }
        let memory = &mut Memory::default();
        match decode(&heard.fresh, None, memory).or_else(|_| decode(&heard.whole, None, memory)) {
            Ok(sighting) => {
                self.model = sighting.model.into_owned();
                self.family = Some(sighting.family);
                let readings = sighting.measurements.iter();
                self.readings
                    .extend(readings.map(|one| (one.name.as_str().to_owned(), render_value(&one.value))));
            }
            Err(problem) => self.needs_key |= problem.kind == ProblemKind::NoKey,
        }
    }

    /// Nobody knows its format.
    pub(super) fn is_stranger(&self) -> bool {
        self.family.is_none() && !self.needs_key
    }

    pub(super) fn describe(&self, address: &str) -> String {
        let rssi = self.rssi.map_or_else(String::new, |rssi| format!("  {rssi} dBm"));
        let name = self.name.as_deref().unwrap_or("(no name)");
        let what = match (self.family, self.needs_key) {
            (Some(family), _) => format!("{} [{family}]", self.model),
            (None, true) => "encrypted: give its sensor a key".to_owned(),
            (None, false) => "a stranger".to_owned(),
        };
        let said = format!("{address}{rssi}  {}\n    {}", harmless(name), harmless(&what));
        let readings = self.readings();
        if readings.is_empty() { said } else { format!("{said}\n    {readings}") }
    }

    /// What it says, what people look for first ahead of the rest.
    fn readings(&self) -> String {
        let first = FIRST.iter().filter_map(|name| self.readings.get_key_value(*name));
        let rest = self.readings.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
        let said: Vec<String> = first.chain(rest).map(|(name, value)| format!("{name} {value}")).collect();
        harmless(&said.join(", "))
    }

    /// One line of a table: address, signal, name, model, readings.
    pub(super) fn row(&self, address: &str, width: usize) -> String {
        let rssi = self.rssi.map_or_else(String::new, |rssi| rssi.to_string());
        let name = self.name.as_deref().unwrap_or("-");
        let what = match (self.family, self.needs_key) {
            (Some(_), _) => self.model.as_str(),
            (None, true) => "needs a key",
            (None, false) => "?",
        };
        let columns = [(name, NAME), (what, MODEL)].map(|(text, width)| fitted(&harmless(text), width));
        let [name, what] = columns;
        let line = format!("{address:17} {rssi:>4}  {name}  {what}  {}", self.readings());
        fitted(&line, width).trim_end().to_owned()
    }

    pub(super) fn to_json(&self, address: &str) -> Value {
        json!({
            "address": address,
            "name": self.name,
            "rssi": self.rssi,
            "model": self.family.map(|_| self.model.as_str()),
            "family": self.family,
            "readings": self.readings,
            "needs_key": self.needs_key,
            "stranger": self.is_stranger(),
        })
    }
}

/// Whatever a stranger sends is shown, and does nothing to the terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Exactly so many columns of a terminal, filled with blanks or cut.
fn fitted(text: &str, width: usize) -> String {
    let missing = width.checked_sub(text.width());
    if let Some(missing) = missing {
        return format!("{text}{}", " ".repeat(missing));
    }
    let (mut cut, mut used) = (String::new(), 0);
    for c in text.chars() {
        // A column is left for what says that something is cut off.
        let more = used + c.width().unwrap_or(0);
        if more >= width {
            break;
        }
        used = more;
        cut.push(c);
    }
    format!("{cut}…{}", " ".repeat(width.saturating_sub(used + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_its_terminal_whatever_is_sent() {
        let mut device = Device { rssi: Some(-100), family: Some("bthome"), ..Device::default() };
        device.model = "BTHome v2, encrypted".to_owned();
        device.readings.insert("acceleration_x".to_owned(), json!(0.1));
        device.readings.insert("temperature".to_owned(), json!(21.5));
        let names = ["Küche", "厨房传感器温度湿度", "\u{1b}[2J\u{9b}31m", "e\u{301}e\u{301}e\u{301}"];
        for name in names {
            device.name = Some(name.to_owned());
            for width in 39..200 {
                let row = device.row("A4:C1:38:12:34:56", width);
                assert!(row.width() <= width && !row.contains(char::is_control), "{row:?}");
            }
            let row = device.row("A4:C1:38:12:34:56", 79);
            assert!(row.contains("temperature 21.5, "), "{row:?}");
            assert!(!device.describe("A4:C1:38:12:34:56").replace('\n', "").contains(char::is_control));
        }
        assert_eq!(device.readings(), "temperature 21.5, acceleration_x 0.1");
    }
}
