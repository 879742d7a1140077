//! The names and units of everything that an advertisement can say: one name per quantity, for all families.

use std::sync::{Arc, LazyLock};

use crate::reading::{MeasurementName, Unit};

macro_rules! quantities {
    ($($quantity:ident $name:literal $unit:literal)*) => {
        /// What is measured.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Quantity { $($quantity),* }

        const NAMES: &[(&str, &str)] = &[$(($name, $unit)),*];
    };
}

quantities! {
    Temperature "temperature" "°C"
    Humidity "humidity" "%"
    Pressure "pressure" "hPa"
    TyrePressure "pressure" "bar"
    Battery "battery" "%"
    Voltage "voltage" "V"
    Current "current" "A"
    Power "power" "W"
    Energy "energy" "kWh"
    Illuminance "illuminance" "lx"
    Co2 "co2" "ppm"
    Pm1 "pm1" "µg/m³"
    Pm25 "pm25" "µg/m³"
    Pm4 "pm4" "µg/m³"
    Pm10 "pm10" "µg/m³"
    Tvoc "tvoc" "µg/m³"
    VocIndex "voc_index" ""
    NoxIndex "nox_index" ""
    Formaldehyde "formaldehyde" "mg/m³"
    FormaldehydePpb "formaldehyde_ppb" "ppb"
    Radon "radon" "Bq/m³"
    RadiationRate "radiation_rate" "nSv/h"
    RadiationTotal "radiation_total" "nSv"
    RadiationDuration "radiation_duration" "s"
    Moisture "moisture" "%"
    Conductivity "conductivity" "µS/cm"
    Weight "weight" "kg"
    WeightUnstable "weight_unstable" "kg"
    Stabilized "stabilized" ""
    WeightRemoved "weight_removed" ""
    Impedance "impedance" "Ω"
    ImpedanceLow "impedance_low" "Ω"
    HeartRate "heart_rate" "1/min"
    Steps "steps" ""
    ProfileId "profile_id" ""
    Acceleration "acceleration" "m/s²"
    AccelerationX "acceleration_x" "m/s²"
    AccelerationY "acceleration_y" "m/s²"
    AccelerationZ "acceleration_z" "m/s²"
    Gyroscope "gyroscope" "°/s"
    Rotation "rotation" "°"
    Direction "direction" "°"
    Tilt "tilt" ""
    Roll "roll" "°"
    Pitch "pitch" "°"
    MovementCounter "movement_counter" ""
    Sequence "sequence" ""
    Count "count" ""
    Channel "channel" ""
    Revision "settings_revision" ""
    TxPower "tx_power" "dBm"
    DewPoint "dew_point" "°C"
    Distance "distance" "m"
    Speed "speed" "m/s"
    Duration "duration" "s"
    Volume "volume" "L"
    VolumeStorage "volume_storage" "L"
    VolumeFlowRate "volume_flow_rate" "m³/h"
    GasVolume "gas" "m³"
    Water "water" "L"
    UvIndex "uv_index" ""
    Precipitation "precipitation" "mm"
    RotationalSpeed "rotational_speed" "1/min"
    Timestamp "timestamp" "s"
    Text "text" ""
    Raw "raw" ""
    SpecificGravity "specific_gravity" ""
    TankLevel "tank_level" "mm"
    LightLevel "light_level" ""
    Position "position" "%"
    Noise "noise" "dB"
    Identity "uuid" ""
    Major "major" ""
    Minor "minor" ""
    Namespace "namespace" ""
    Instance "instance" ""
    Url "url" ""
    AdvertisingCount "advertising_count" ""
    Uptime "uptime" "s"
    Interval "interval" "s"
    Age "age" "s"
    Status "status" ""
    Opening "opening" ""
    OpeningPercentage "opening_percentage" "%"
    Door "door" ""
    DoorLeftOpen "door_left_open" ""
    DoorStuck "door_stuck" ""
    DoorKnocked "knock_on_the_door" ""
    DoorPried "pry_the_door" ""
    ForciblyRemoved "device_forcibly_removed" ""
    Window "window" ""
    GarageDoor "garage_door" ""
    Motion "motion" ""
    Moving "moving" ""
    IdleTime "idle_time" "s"
    Occupancy "occupancy" ""
    Presence "presence" ""
    Light "light" ""
    Smoke "smoke" ""
    Gas "gas" ""
    CarbonMonoxide "carbon_monoxide" ""
    MoistureWet "moisture_wet" ""
    WaterLeak "water_leak" ""
    Vibration "vibration" ""
    Tamper "tamper" ""
    Lock "lock" ""
    ChildLock "child_lock" ""
    AntiLock "anti_lock" ""
    Armed "armed" ""
    LockAction "lock_action" ""
    LockMethod "lock_method" ""
    KeyId "key_id" ""
    Fingerprint "fingerprint" ""
    FingerprintResult "fingerprint_result" ""
    Error "error" ""
    ErrorCode "error_code" ""
    Plug "plug" ""
    PowerOn "power_on" ""
    Problem "problem" ""
    Running "running" ""
    Safety "safety" ""
    Sound "sound" ""
    Heat "heat" ""
    Cold "cold" ""
    Connectivity "connectivity" ""
    BatteryLow "battery_low" ""
    BatteryCharging "battery_charging" ""
    Generic "generic" ""
    Switch "switch" ""
    Alarm "alarm" ""
    Sleeping "sleeping" ""
    Snoring "snoring" ""
    BedOccupancy "bed_occupancy" ""
    MagneticField "magnetic_field_detected" ""
    Dropping "dropping" ""
    Impact "impact" ""
    Button "button" ""
    Dimmer "dimmer" ""
    Command "command" ""
    Cube "cube" ""
    MotionEvent "motion_event" ""
    VibrationEvent "vibration_event" ""
    Brushing "brushing" ""
    BrushTime "time" "s"
    BrushSector "sector" ""
    BrushSectors "number_of_sectors" ""
    BrushSectorTimer "sector_timer" "s"
    BrushState "toothbrush_state" ""
    BrushPressure "brush_pressure" ""
    Mode "mode" ""
    Score "score" ""
    Counter "counter" ""
    Consumable "consumable" "%"
    TemperatureProbe "temperature_probe" "°C"
    TemperatureAlarmProbe "temperature_alarm_probe" "°C"
    LowTemperatureAlarmProbe "low_temperature_alarm_probe" "°C"
    HumidityProbe "humidity_probe" "%"
    InternalTemperatureProbe "internal_temperature_probe" "°C"
    InternalCenterTemperatureProbe "internal_center_temperature_probe" "°C"
    InternalEndTemperatureProbe "internal_end_temperature_probe" "°C"
    AmbientTemperatureProbe "ambient_temperature_probe" "°C"
    BatteryProbe "battery_probe" "%"
    MeatTemperature "meat_temperature" "°C"
    TipTemperature "tip_temperature" "°C"
    AmbientTemperature "ambient_temperature" "°C"
    KegSize "keg_size" "L"
    KegStart "volume_start" "L"
    KegDispensed "volume_dispensed" "L"
    KegPortName "port_name" ""
    Shake "shake" ""
    Aqi "aqi" ""
    Flow "volume_flow" "m³/h"
    WaterPressure "water_pressure" "bar"
    FreshTank "fresh_tank" "%"
    BlackTank "black_tank" "%"
    GreyTank "grey_tank" "%"
    LpgTank "lpg_tank" "%"
    GalleyTank "galley_tank" "%"
    ChemicalTank "chemical_tank" "%"
    Level "level" "%"
    Soc "soc" "%"
    ConsumedAh "consumed_ah" "Ah"
    TimeToGo "time_to_go" "min"
    ChargeState "charge_state" ""
    PvPower "pv_power" "W"
    EnergyToday "energy_today" "kWh"
    LoadCurrent "load_current" "A"
    StarterVoltage "starter_voltage" "V"
    MidpointVoltage "midpoint_voltage" "V"
    InputVoltage "input_voltage" "V"
    InputCurrent "input_current" "A"
    InputPower "input_power" "W"
    OutputPower "output_power" "W"
    OutputVoltage "output_voltage" "V"
    OutputCurrent "output_current" "A"
    ApparentPower "apparent_power" "VA"
    AcVoltage "ac_voltage" "V"
    AcCurrent "ac_current" "A"
    CellVoltage "cell_voltage" "V"
    OffReason "off_reason" ""
    AlarmReason "alarm_reason" ""
    WarningReason "warning_reason" ""
}

type Named = (Option<MeasurementName>, Option<Unit>);

static NAMED: LazyLock<Vec<Named>> = LazyLock::new(|| {
    let unit = |unit: &str| (!unit.is_empty()).then(|| Unit(Arc::from(unit)));
    NAMES.iter().map(|(name, of)| (MeasurementName::parse(name), unit(of))).collect()
});

impl Quantity {
    /// Its name and unit; cheap copies.
    pub(super) fn named(self) -> Named {
        #[expect(clippy::as_conversions, reason = "the discriminant is the place in the table")]
        let place = self as usize;
        NAMED.get(place).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantity_has_a_name_of_its_own_or_says_why_not() {
        assert!(NAMED.iter().all(|(name, _)| name.is_some()));
        let mut names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let twins: Vec<&str> =
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        assert_eq!(twins, ["gas", "pressure"], "gas is a volume or its presence; tyres count in bar");
        assert_eq!(Quantity::Temperature.named().0.unwrap().as_str(), "temperature");
        assert_eq!(Quantity::WarningReason.named().0.unwrap().as_str(), "warning_reason");
    }
}
