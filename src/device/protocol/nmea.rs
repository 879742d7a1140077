//! NMEA 0183 sentences: positions (GGA, RMC, GLL), course and speed (VTG, HDT), wind (MWV), water (MTW, DPT, DBT)
//! and transducers (XDR). Frames and checksum are the profile's.

use crate::device::decoder::Decoded;
use crate::device::number;
use crate::device::problem::{Problem, ProblemKind};
use crate::reading::{MeasurementName, Unit, Value};

/// What a sentence says; those that are not known are no readings, and no mistake.
pub(in crate::device) fn decode(line: &str, to: &mut Decoded) -> Result<(), Problem> {
    let malformed = || Problem::new(ProblemKind::Syntax, "the line is no NMEA sentence");
    let body = line.strip_prefix('$').ok_or_else(malformed)?;
    let body = body.split_once('*').map_or(body, |(body, _)| body);
    let fields: Vec<&str> = body.split(',').map(str::trim).collect();
    let (address, fields) = fields.split_first().ok_or_else(malformed)?;
    // Two letters of the talker, three of the sentence; makers' own begin with P.
    let kind = address.get(2..).filter(|kind| kind.len() == 3 && !address.starts_with('P'));
    let mut sentence = Sentence { fields, to };
    match kind {
        Some("GGA") => sentence.gga(),
        Some("RMC") => sentence.rmc(),
        Some("GLL") => sentence.gll(),
        Some("VTG") => sentence.vtg(),
        Some("MWV") => sentence.mwv(),
        Some("XDR") => sentence.xdr(),
        Some("MTW") => sentence.number(0, "temperature", "°C"),
        Some("HDT") => sentence.number(0, "heading", "°"),
        Some("DPT") => sentence.number(0, "depth", "m"),
        Some("DBT") => sentence.number(2, "depth", "m"),
        _ => sentence.to.absent = true,
    }
    // An empty sentence of a receiver without a fix is none either.
    to.absent |= to.problems.is_empty();
    Ok(())
}

struct Sentence<'a, 'b> {
    fields: &'a [&'a str],
    to: &'b mut Decoded,
}

impl Sentence<'_, '_> {
    fn text(&self, index: usize) -> Option<&str> {
        self.fields.get(index).copied().filter(|text| !text.is_empty())
    }

    fn put(&mut self, name: &str, value: Value, unit: &str) {
        if let Some(name) = MeasurementName::parse(name) {
            let unit = Some(Unit(unit.into())).filter(|unit| !unit.0.is_empty());
            self.to.put(&name, value, unit.as_ref());
        }
    }

    fn put_number(&mut self, name: &str, value: f64, unit: &str) {
        self.put(name, Value::Number(value), unit);
    }

    fn put_text(&mut self, name: &str, index: usize) {
        if let Some(text) = self.text(index).map(str::to_owned) {
            self.put(name, Value::Text(text.into()), "");
        }
    }

    fn read(&mut self, index: usize, name: &str) -> Option<f64> {
        let text = self.text(index)?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(number),
            _ => {
                let shown: String = text.chars().take(40).collect();
                self.to.problem(
                    ProblemKind::NotANumber,
                    format!("{name} must be a number, the device says {shown:?}"),
                );
                None
            }
        }
    }

    fn number(&mut self, index: usize, name: &str, unit: &str) {
        if let Some(number) = self.read(index, name) {
            self.put_number(name, number, unit);
        }
    }

    fn gga(&mut self) {
        self.position(1);
        self.number(5, "fix_quality", "");
        self.number(6, "satellites", "");
        self.number(7, "hdop", "");
        if self.text(9).is_none_or(|unit| unit == "M") {
            self.number(8, "altitude", "m");
        }
    }

    fn rmc(&mut self) {
        self.position(2);
        self.number(6, "speed_kn", "kn");
        self.number(7, "course", "°");
        let timestamp = self.text(0).zip(self.text(8)).and_then(|(time, date)| timestamp(time, date));
        if let Some(timestamp) = timestamp {
            self.put("timestamp", Value::Text(timestamp.into()), "");
        }
        if let Some(status) = self.text(1) {
            let valid = status == "A";
            self.put("valid", Value::Switch(valid), "");
        }
    }

    fn gll(&mut self) {
        self.position(0);
        if let Some(status) = self.text(5) {
            let valid = status == "A";
            self.put("valid", Value::Switch(valid), "");
        }
    }

    /// Each value is followed by its unit; old receivers leave the units out.
    fn vtg(&mut self) {
        let has_units = self.text(1) == Some("T") || self.text(5) == Some("N");
        let places = if has_units { [0, 2, 4, 6] } else { [0, 1, 2, 3] };
        let names = [("course", "°"), ("course_magnetic", "°"), ("speed_kn", "kn"), ("speed_kmh", "km/h")];
        for (index, (name, unit)) in places.into_iter().zip(names) {
            self.number(index, name, unit);
        }
    }

    fn mwv(&mut self) {
        // V: what the sensor says is not valid.
        if self.text(4) == Some("V") {
            return;
        }
        self.number(0, "wind_angle", "°");
        self.put_text("wind_reference", 1);
        let unit = match self.text(3) {
            Some("K") => "km/h",
            Some("M") => "m/s",
            Some("N") => "kn",
            Some("S") => "mph",
            _ => "",
        };
        self.number(2, "wind_speed", unit);
        self.put_text("wind_unit", 3);
    }

    /// Groups of four: type, value, unit, name.
    fn xdr(&mut self) {
        for start in (0..self.fields.len()).step_by(4) {
            let group = (self.text(start), self.text(start + 2));
            let (name, unit, scale, add) = match group {
                (Some("C"), Some("C") | None) => ("temperature", "°C", 1.0, 0.0),
                (Some("C"), Some("F")) => ("temperature", "°C", 5.0 / 9.0, -160.0 / 9.0),
                (Some("C"), Some("K")) => ("temperature", "°C", 1.0, -273.15),
                (Some("P"), Some("B")) => ("pressure", "hPa", 1000.0, 0.0),
                (Some("P"), Some("P")) => ("pressure", "hPa", 0.01, 0.0),
                (Some("H"), _) => ("humidity", "%", 1.0, 0.0),
                (Some("U"), Some("V") | None) => ("voltage", "V", 1.0, 0.0),
                (Some("I"), Some("A") | None) => ("current", "A", 1.0, 0.0),
                (Some("N"), _) => ("force", "N", 1.0, 0.0),
                (Some("T"), _) => ("rotational_speed", "rpm", 1.0, 0.0),
                (Some("A"), Some("D") | None) => ("angle", "°", 1.0, 0.0),
                (Some("D"), Some("M")) => ("distance", "m", 1.0, 0.0),
                _ => continue,
            };
            let Some(raw) = self.read(start + 1, name) else { continue };
            let value = number::round(raw * scale + add, 6);
            if let Some(name) = MeasurementName::parse(name) {
                self.to.put_again(&name, Value::Number(value), Some(&Unit(unit.into())));
            }
        }
    }

    /// Latitude, N or S, longitude, E or W.
    fn position(&mut self, first: usize) {
        for (index, name, positive, negative, most) in
            [(first, "latitude", "N", "S", 90.0), (first + 2, "longitude", "E", "W", 180.0)]
        {
            let Some(raw) = self.read(index, name) else { continue };
            let degrees = (raw / 100.0).floor();
            let value = degrees + (raw - degrees * 100.0) / 60.0;
            let sign = match self.text(index + 1) {
                Some(hemisphere) if hemisphere == positive => 1.0,
                Some(hemisphere) if hemisphere == negative => -1.0,
                _ => continue,
            };
            if raw < 0.0 || value > most {
                self.to.problem(ProblemKind::OutOfRange, format!("{name} is {raw}, there is no such place"));
                continue;
            }
            self.put_number(name, number::round(sign * value, 7), "°");
        }
    }
}

/// `hhmmss[.s]` and `ddmmyy`, as RFC 3339. Years from 70 on are those of the last century.
fn timestamp(time: &str, date: &str) -> Option<String> {
    let part = |text: &str, from: usize, most: u8| {
        let digits =
            text.get(from..from + 2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        digits.parse::<u8>().ok().filter(|number| *number <= most).map(|number| (number, digits.to_owned()))
    };
    let (hour, minute, second) = (part(time, 0, 23)?.1, part(time, 2, 59)?.1, part(time, 4, 60)?.1);
    let (day, month, year) = (part(date, 0, 31)?, part(date, 2, 12)?, part(date, 4, 99)?);
    if date.len() != 6 || day.0 == 0 || month.0 == 0 {
        return None;
    }
    let century = if year.0 < 70 { "20" } else { "19" };
    let fraction = time
        .get(6..)
        .filter(|rest| rest.trim_start_matches('.').bytes().any(|digit| matches!(digit, b'1'..=b'9')));
    let fraction = fraction.map_or("", |rest| rest.trim_end_matches('0'));
    Some(format!("{century}{}-{}-{}T{hour}:{minute}:{second}{fraction}Z", year.1, month.1, day.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(timestamp("123519", "230394").as_deref(), Some("1994-03-23T12:35:19Z"));
        assert_eq!(timestamp("000000.00", "010126").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(timestamp("000000.250", "010126").as_deref(), Some("2026-01-01T00:00:00.25Z"));
        for (time, date) in [
            ("250000", "010126"),
            ("12", "010126"),
            ("123519", "0101"),
            ("123519", "001326"),
            ("é23519", "010126"),
        ] {
            assert_eq!(timestamp(time, date), None, "{time} {date}");
        }
    }
}
