//! Sensirion's gadgets under company 0x06D5: a kind of frame, a kind of sample, the device's number, then values
//! (<https://github.com/Sensirion/ble-services>).

use super::{Frame, Outcome, Quantity as Q, Readout, ensure, round, sht_humidity, sht_temperature};

/// How a value of two bytes is read.
#[derive(Clone, Copy)]
enum Form {
    Temperature,
    Humidity,
    /// SHT4x: reaches from -6 to 119 %.
    WideHumidity,
    Plain(Q),
    /// 0 to 65535 is 0 to 1000 µg/m³.
    Dust,
    /// Tenths of µg/m³.
    Tenths(Q),
    /// Fifths of ppb.
    Formaldehyde,
}

use Form::{Dust, Formaldehyde, Humidity as H, Plain, Temperature as T, Tenths, WideHumidity};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.u8(0)? == 0)?;
    let (co2, voc, nox) = (Plain(Q::Co2), Plain(Q::VocIndex), Plain(Q::NoxIndex));
    let dust = Tenths(Q::Pm25);
    let forms: &[Form] = match data.u8(1)? {
        3 => &[T, H, voc],
        4 => &[T, H],
        6 => &[T, WideHumidity],
        8 | 10 => &[T, H, co2],
        12 => &[T, H, co2, Dust],
        14 => &[T, H, Formaldehyde],
        16 => &[T, H, voc, Dust],
        20 => &[T, H, co2, voc, Dust, Formaldehyde],
        22 => &[T, H, voc, nox],
        24 => &[T, H, voc, nox, dust],
        26 => &[T, H, co2, voc, nox, dust],
        28 => &[T, H, co2, dust],
        30 => &[T, H, voc, dust],
        32 => &[T, H, co2, voc, dust, Formaldehyde],
        34 => &[co2],
        36 => &[Tenths(Q::Pm1), Tenths(Q::Pm25), Tenths(Q::Pm4), Tenths(Q::Pm10)],
        _ => return ensure(false),
    };
    let name = frame.advertisement.name();
    out.model(if name.is_empty() { "Sensirion gadget".to_owned() } else { name.to_owned() });
    for (place, form) in forms.iter().enumerate() {
        let raw = data.le_u16(4 + 2 * place)?;
        let wide = f64::from(raw);
        match form {
            T => out.number(Q::Temperature, sht_temperature(raw)),
            H => out.number(Q::Humidity, sht_humidity(raw)),
            WideHumidity => out.number(Q::Humidity, round(wide * 125.0 / 65535.0 - 6.0, 2)),
            Plain(quantity) => out.number(*quantity, raw),
            Dust => out.number(Q::Pm25, round(wide * 1000.0 / 65535.0, 2)),
            Tenths(quantity) => out.scaled(*quantity, raw, 10.0),
            Formaldehyde => out.scaled(Q::FormaldehydePpb, raw, 5.0),
        }
    }
    Ok(())
}
