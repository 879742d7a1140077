//! Victron Energy's Instant Readout under company 0x02E1 (Victron, "Extra Manufacturer Data", 2022-12-14): encrypted
//! with AES-128 in counter mode. There is no tag: the first byte of the key stands in the frame, and is all that
//! tells a wrong key from the right one. Values that are not available have all bits set.

use super::{Bits, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, crypt, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    // Other kinds of frames are not Instant Readout.
    ensure(data.u8(0)? == 0x10)?;
    let record = data.u8(4)?;
    let [low, high] = data.array(5)?;
    data.at_least(9)?;
    out.model(name(record)?);
    let key = frame.key.ok_or_else(crypt::no_key)?.full()?;
    let [first, ..] = key;
    if data.u8(7)? != *first {
        return Err(bad(ProblemKind::WrongKey, "wrong key: the frame was made with another"));
    }
    let mut opened = data.rest(8)?.to_vec();
    let mut counter = u32::from(low) | (u32::from(high) << 8);
    out.packet = Some(counter);
    for chunk in opened.chunks_mut(16) {
        let mut block = [0; 16];
        for (place, byte) in block.iter_mut().zip(counter.to_le_bytes()) {
            *place = byte;
        }
        for (byte, mask) in chunk.iter_mut().zip(crypt::stream(key, block)) {
            *byte ^= mask;
        }
        counter = counter.wrapping_add(1);
    }
    let mut reader = Reader { bits: Bits::new(&opened), out };
    let whole = reader.read(record);
    whole.ok_or_else(|| bad(ProblemKind::Truncated, "truncated: the record is shorter than its kind"))
}

fn name(record: u8) -> Outcome<&'static str> {
    Ok(match record {
        0x1 => "Solar Charger",
        0x2 => "Battery Monitor",
        0x3 => "Inverter",
        0x4 => "DC/DC Converter",
        0x5 => "SmartLithium",
        0x8 => "AC Charger",
        0x9 => "Smart Battery Protect",
        0xA => "Lynx Smart BMS",
        0xB => "Multi RS",
        0xC => "VE.Bus",
        0xD => "DC Energy Meter",
        0xF => "Orion XS",
        _ => return ensure(false).map(|()| ""),
    })
}

struct Reader<'a> {
    bits: Bits<'a>,
    out: &'a mut Readout,
}

impl Reader<'_> {
    fn read(&mut self, record: u8) -> Option<()> {
        match record {
            0x1 => self.solar_charger(),
            0x2 => self.battery_monitor(),
            0x3 => self.inverter(),
            0x4 => self.converter(),
            0x5 => self.lithium(),
            0x8 => self.charger(),
            0x9 => self.protect(),
            0xA => self.lynx(),
            0xB => self.multi(),
            0xC => self.ve_bus(),
            0xD => self.energy_meter(),
            _ => self.orion(),
        }
    }

    /// An unsigned number; all bits set is none.
    fn unsigned(&mut self, bits: usize, quantity: Q, parts: f64) -> Option<()> {
        let raw = self.bits.take(bits)?;
        if u64::from(raw) != (1_u64 << bits) - 1 {
            self.out.scaled(quantity, raw, parts);
        }
        Some(())
    }

    /// A signed number; all bits but the sign set is none.
    fn signed(&mut self, bits: usize, quantity: Q, parts: f64) -> Option<()> {
        let raw = self.bits.take_signed(bits)?;
        if i64::from(raw) != (1_i64 << (bits - 1)) - 1 {
            self.out.scaled(quantity, raw, parts);
        }
        Some(())
    }

    fn skip(&mut self, bits: usize) -> Option<()> {
        self.bits.take(bits).map(|_| ())
    }

    /// The battery's temperature from -40 °C.
    fn temperature(&mut self) -> Option<()> {
        let raw = self.bits.take(7)?;
        if raw != 0x7F {
            self.out.number(Q::Temperature, f64::from(raw) - 40.0);
        }
        Some(())
    }

    fn state_and_error(&mut self) -> Option<()> {
        self.unsigned(8, Q::ChargeState, 1.0)?;
        self.unsigned(8, Q::ErrorCode, 1.0)
    }

    fn solar_charger(&mut self) -> Option<()> {
        self.state_and_error()?;
        self.signed(16, Q::Voltage, 100.0)?;
        self.signed(16, Q::Current, 10.0)?;
        self.unsigned(16, Q::EnergyToday, 100.0)?;
        self.unsigned(16, Q::PvPower, 1.0)?;
        self.unsigned(9, Q::LoadCurrent, 10.0)
    }

    /// What the auxiliary input measures: starter, midpoint or kelvins.
    fn auxiliary(&mut self) -> Option<()> {
        let raw = self.bits.take(16)?;
        let raw = u16::try_from(raw).ok()?;
        match self.bits.take(2)? {
            0 => self.out.scaled(Q::StarterVoltage, raw.cast_signed(), 100.0),
            1 => self.out.scaled(Q::MidpointVoltage, raw, 100.0),
            2 if raw != 0xFFFF => {
                self.out.number(Q::Temperature, round(f64::from(raw) / 100.0 - 273.15, 2));
            }
            _ => {}
        }
        Some(())
    }

    fn milliamperes(&mut self) -> Option<()> {
        let raw = self.bits.take_signed(22)?;
        // Both ways of saying "none" are seen.
        if !matches!(raw, 0x1F_FFFF | -1) {
            self.out.scaled(Q::Current, raw, 1000.0);
        }
        Some(())
    }

    fn battery_monitor(&mut self) -> Option<()> {
        self.unsigned(16, Q::TimeToGo, 1.0)?;
        self.signed(16, Q::Voltage, 100.0)?;
        let alarm = self.bits.take(16)?;
        self.out.number(Q::AlarmReason, alarm);
        self.auxiliary()?;
        self.milliamperes()?;
        let consumed = self.bits.take(20)?;
        if consumed != 0xF_FFFF {
            self.out.scaled(Q::ConsumedAh, -f64::from(consumed), 10.0);
        }
        self.unsigned(10, Q::Soc, 10.0)
    }

    fn inverter(&mut self) -> Option<()> {
        self.unsigned(8, Q::ChargeState, 1.0)?;
        let alarm = self.bits.take(16)?;
        self.out.number(Q::AlarmReason, alarm);
        self.signed(16, Q::Voltage, 100.0)?;
        self.unsigned(16, Q::ApparentPower, 1.0)?;
        self.unsigned(15, Q::AcVoltage, 100.0)?;
        self.unsigned(11, Q::AcCurrent, 10.0)
    }

    fn off_reason(&mut self) -> Option<()> {
        let reason = self.bits.take(32)?;
        self.out.number(Q::OffReason, reason);
        Some(())
    }

    fn converter(&mut self) -> Option<()> {
        self.state_and_error()?;
        self.unsigned(16, Q::InputVoltage, 100.0)?;
        self.signed(16, Q::OutputVoltage, 100.0)?;
        self.off_reason()
    }

    fn lithium(&mut self) -> Option<()> {
        self.skip(32)?;
        self.skip(16)?;
        for cell in 1..=8 {
            let raw = self.bits.take(7)?;
            // 0 is below 2.61 V, 0x7E above 3.85 V, 0x7F no cell.
            if (1..0x7E).contains(&raw) {
                self.out.numbered(Q::CellVoltage, cell, f64::from(raw + 260) / 100.0);
            }
        }
        self.unsigned(12, Q::Voltage, 100.0)?;
        self.skip(4)?;
        self.temperature()
    }

    fn charger(&mut self) -> Option<()> {
        self.state_and_error()?;
        for output in 0..3 {
            let (volts, amperes) = (self.bits.take(13)?, self.bits.take(11)?);
            let number = if output == 0 { 0 } else { output + 1 };
            if volts != 0x1FFF {
                self.out.numbered(Q::Voltage, number, f64::from(volts) / 100.0);
            }
            if amperes != 0x7FF {
                self.out.numbered(Q::Current, number, f64::from(amperes) / 10.0);
            }
        }
        self.temperature()?;
        self.unsigned(9, Q::AcCurrent, 10.0)
    }

    fn protect(&mut self) -> Option<()> {
        self.unsigned(8, Q::ChargeState, 1.0)?;
        let output = self.bits.take(8)?;
        self.out.switch(Q::PowerOn, output == 1);
        self.unsigned(8, Q::ErrorCode, 1.0)?;
        for quantity in [Q::AlarmReason, Q::WarningReason] {
            let reason = self.bits.take(16)?;
            self.out.number(quantity, reason);
        }
        self.signed(16, Q::InputVoltage, 100.0)?;
        self.unsigned(16, Q::OutputVoltage, 100.0)?;
        self.off_reason()
    }

    fn lynx(&mut self) -> Option<()> {
        self.unsigned(8, Q::ErrorCode, 1.0)?;
        self.unsigned(16, Q::TimeToGo, 1.0)?;
        self.signed(16, Q::Voltage, 100.0)?;
        self.signed(16, Q::Current, 10.0)?;
        self.skip(16)?;
        let alarm = self.bits.take(18)?;
        self.out.number(Q::AlarmReason, alarm);
        self.unsigned(10, Q::Soc, 10.0)?;
        let consumed = self.bits.take(20)?;
        if consumed != 0xF_FFFF {
            self.out.scaled(Q::ConsumedAh, -f64::from(consumed), 10.0);
        }
        self.temperature()
    }

    fn multi(&mut self) -> Option<()> {
        self.state_and_error()?;
        self.signed(16, Q::Current, 10.0)?;
        self.unsigned(14, Q::Voltage, 100.0)?;
        self.skip(2)?;
        self.signed(16, Q::InputPower, 1.0)?;
        self.signed(16, Q::OutputPower, 1.0)?;
        self.unsigned(16, Q::PvPower, 1.0)?;
        self.unsigned(16, Q::EnergyToday, 100.0)
    }

    fn ve_bus(&mut self) -> Option<()> {
        self.state_and_error()?;
        self.signed(16, Q::Current, 10.0)?;
        self.unsigned(14, Q::Voltage, 100.0)?;
        self.skip(2)?;
        self.signed(19, Q::InputPower, 1.0)?;
        self.signed(19, Q::OutputPower, 1.0)?;
        let alarm = self.bits.take(2)?;
        if alarm != 3 {
            self.out.switch(Q::Alarm, alarm == 2);
        }
        self.temperature()?;
        self.unsigned(7, Q::Soc, 1.0)
    }

    fn energy_meter(&mut self) -> Option<()> {
        self.skip(16)?;
        self.signed(16, Q::Voltage, 100.0)?;
        let alarm = self.bits.take(16)?;
        self.out.number(Q::AlarmReason, alarm);
        self.auxiliary()?;
        self.milliamperes()
    }

    fn orion(&mut self) -> Option<()> {
        self.state_and_error()?;
        self.unsigned(16, Q::OutputVoltage, 100.0)?;
        self.unsigned(16, Q::OutputCurrent, 10.0)?;
        self.unsigned(16, Q::InputVoltage, 100.0)?;
        self.unsigned(16, Q::InputCurrent, 10.0)?;
        self.off_reason()
    }
}
