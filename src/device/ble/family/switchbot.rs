//! SwitchBot: the product and a little under service 0xFD3D (0x0D00 in older firmwares), more under company 0x0969
//! (<https://github.com/OpenWonderLabs/SwitchBotAPI-BLE>). What the company's field carries is newer, and counts
//! where there is one.

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let advertisement = frame.advertisement;
    let service = advertisement.service(0xFD3D).or_else(|| advertisement.service(0x0D00));
    let service = service.filter(|data| data.len() >= 2);
    // Without the service's field nothing says what the device is.
    ensure(service.is_some())?;
    let service = Data(service.unwrap_or_default());
    let maker = advertisement.manufacturer(0x0969).map(Data);
    let device = Device { service, maker };
    match service.u8(0)? & 0x7F {
        b'T' => device.meter("Meter", out),
        b'i' => device.meter("Meter Plus", out),
        b'w' => device.meter("Outdoor Meter", out),
        b'4' | 0x14 => device.meter("Meter Pro", out),
        b'5' | 0x15 => device.meter_with_co2(out),
        b'v' => device.hub(out),
        b'H' => device.bot(out),
        b'd' | b'D' => device.contact(out),
        b's' | b'S' => device.motion(out),
        b'c' | b'C' => device.curtain("Curtain", out),
        b'{' | b'[' => device.curtain("Curtain 3", out),
        b'x' | b'X' => device.blind(out),
        b'&' | 0x06 => device.leak(out),
        b'g' | b'j' => device.plug(out),
        b'o' => device.lock(out),
        _ => ensure(false),
    }
}

struct Device<'a> {
    service: Data<'a>,
    maker: Option<Data<'a>>,
}

impl<'a> Device<'a> {
    /// The company's field, if it has at least `length` bytes.
    fn maker(&self, length: usize) -> Option<Data<'a>> {
        self.maker.filter(|data| data.len() >= length)
    }

    fn battery(&self, out: &mut Readout) {
        if let Ok(battery) = self.service.u8(2) {
            out.number(Q::Battery, battery & 0x7F);
        }
    }

    fn meter(&self, model: &'static str, out: &mut Readout) -> Outcome {
        out.model(model);
        let (data, at) = self.maker(11).map_or((self.service, 3), |maker| (maker, 8));
        climate(data, at, out)?;
        self.battery(out);
        Ok(())
    }

    fn meter_with_co2(&self, out: &mut Readout) -> Outcome {
        self.meter("Meter Pro CO2", out)?;
        if let Some(maker) = self.maker(15) {
            let co2 = maker.be_u16(13)?;
            if co2 <= 9999 {
                out.number(Q::Co2, co2);
            }
        }
        Ok(())
    }

    fn hub(&self, out: &mut Readout) -> Outcome {
        out.model("Hub 2");
        let maker = self.maker.unwrap_or(Data(&[]));
        climate(maker, 13, out)?;
        out.number(Q::LightLevel, maker.u8(12)? & 0x1F);
        Ok(())
    }

    fn bot(&self, out: &mut Readout) -> Outcome {
        out.model("Bot");
        let state = self.service.u8(1)?;
        out.number(Q::Battery, self.service.u8(2)? & 0x7F);
        if state & 0x80 != 0 {
            out.switch(Q::Switch, state & 0x40 == 0);
        }
        Ok(())
    }

    fn contact(&self, out: &mut Readout) -> Outcome {
        out.model("Contact Sensor");
        let (motion, open, left_open, light) = match self.maker(13) {
            Some(maker) => (maker.bit(7, 7)?, maker.bit(7, 4)?, maker.bit(7, 5)?, maker.bit(7, 6)?),
            None => {
                let data = self.service;
                (data.bit(1, 6)?, data.bit(3, 1)?, data.bit(3, 2)?, data.bit(3, 0)?)
            }
        };
        out.switch(Q::Motion, motion);
        self.battery(out);
        out.switch(Q::Opening, open || left_open);
        out.switch(Q::DoorLeftOpen, left_open);
        out.switch(Q::Light, light);
        let presses = match self.maker(13) {
            Some(maker) => maker.u8(12),
            None => self.service.u8(8),
        };
        if let Ok(presses) = presses {
            out.number(Q::Count, presses & 0x0F);
        }
        Ok(())
    }

    fn motion(&self, out: &mut Readout) -> Outcome {
        out.model("Motion Sensor");
        let (motion, light) = match self.maker(8) {
            Some(maker) => (maker.bit(7, 6)?, maker.bit(7, 5)?),
            None => (self.service.bit(1, 6)?, self.service.bit(5, 1)?),
        };
        out.switch(Q::Motion, motion);
        self.battery(out);
        out.switch(Q::Light, light);
        Ok(())
    }

    fn curtain(&self, model: &'static str, out: &mut Readout) -> Outcome {
        out.model(model);
        let (data, at) = self.maker(11).map_or((self.service, 3), |maker| (maker, 8));
        let state = data.u8(at)?;
        let level = data.u8(at + 1)?;
        match self.maker(13) {
            Some(maker) => out.number(Q::Battery, maker.u8(12)? & 0x7F),
            None => self.battery(out),
        }
        out.number(Q::Position, 100 - (state & 0x7F).min(100));
        out.switch(Q::Moving, state & 0x80 != 0);
        out.number(Q::LightLevel, level >> 4);
        Ok(())
    }

    fn blind(&self, out: &mut Readout) -> Outcome {
        out.model("Blind Tilt");
        let maker = self.maker.unwrap_or(Data(&[]));
        let (state, level) = (maker.u8(8)?, maker.u8(9)?);
        self.battery(out);
        out.number(Q::Tilt, (state & 0x7F).min(100));
        out.switch(Q::Moving, state & 0x80 != 0);
        out.number(Q::LightLevel, level >> 4);
        Ok(())
    }

    fn leak(&self, out: &mut Readout) -> Outcome {
        out.model("Water Leak Detector");
        let maker = self.maker.unwrap_or(Data(&[]));
        let battery = maker.u8(7)?;
        out.switch(Q::WaterLeak, maker.bit(8, 0)?);
        out.switch(Q::Tamper, maker.bit(8, 1)?);
        out.number(Q::Battery, battery & 0x7F);
        out.switch(Q::BatteryLow, battery & 0x80 != 0);
        Ok(())
    }

    fn plug(&self, out: &mut Readout) -> Outcome {
        out.model("Plug Mini");
        let maker = self.maker.unwrap_or(Data(&[]));
        let power = maker.be_u16(10)? & 0x7FFF;
        out.switch(Q::PowerOn, maker.u8(7)? == 0x80);
        out.scaled(Q::Power, power, 10.0);
        Ok(())
    }

    fn lock(&self, out: &mut Readout) -> Outcome {
        out.model("Lock");
        let maker = self.maker.unwrap_or(Data(&[]));
        let state = maker.u8(7)?;
        maker.at_least(9)?;
        // 0 is locked, 1 unlocked; the others are on the way or stuck.
        match (state >> 4) & 0x07 {
            0 => out.switch(Q::Lock, false),
            1 => out.switch(Q::Lock, true),
            _ => {}
        }
        out.switch(Q::Door, state & 0x04 != 0);
        self.battery(out);
        Ok(())
    }
}

/// Tenths in four bits, a sign that is set above zero and whole degrees in seven, humidity in seven.
fn climate(data: Data<'_>, at: usize, out: &mut Readout) -> Outcome {
    let [tenths, whole, humidity] = data.array(at)?;
    let tenths = f64::from(whole & 0x7F) * 10.0 + f64::from(tenths & 0x0F);
    out.scaled(Q::Temperature, if whole & 0x80 == 0 { -tenths } else { tenths }, 10.0);
    out.number(Q::Humidity, humidity & 0x7F);
    Ok(())
}
