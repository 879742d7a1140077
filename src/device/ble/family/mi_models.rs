//! The product numbers of MiBeacon devices and the models that they stand for; only what a model means differently
//! from others is of interest to the objects.

/// What sort of device a model is, where the same object means something else on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing of the kind.
    Other,
    /// Runs on one cell of 1.5 V.
    SingleCell,
    /// Says light and dark with object 0x1007 rather than lux.
    LightSwitch,
    /// A motion sensor whose 0x000F says light and dark.
    MotionLight,
    /// A motion sensor whose 0x000F says lux.
    MotionLux,
    /// One button, or a sensor with one.
    OneButton,
    /// A switch whose presses are coded otherwise than a button's.
    Switch,
    /// A remote control of many keys.
    Remote,
    /// A cube that is turned.
    Cube,
    /// A knob.
    Knob,
    /// A lock that tells its kind of bolt.
    BoltLock,
    /// A lock of Disco.
    DiscoLock,
    /// A leak sensor with two places.
    Leak,
    /// One key, told by numbers for how it was pressed.
    CodedButton,
    /// Says presence, absence and absence again.
    Presence3,
}

use Kind as K;

/// Product number, model, kind.
const MODELS: &[(u16, &str, Kind)] = &[
    (0x0C3C, "CGC1", K::Other),
    (0x0576, "CGD1", K::Other),
    (0x066F, "CGDK2", K::Other),
    (0x0347, "CGG1", K::Other),
    (0x0B48, "CGG1", K::Other),
    (0x5808, "CGG3", K::Other),
    (0x4F59, "CGDK3", K::SingleCell),
    (0x03D6, "CGH1", K::Other),
    (0x0A83, "CGPR1", K::MotionLux),
    (0x03BC, "GCLS002", K::Other),
    (0x0098, "HHCCJCY01", K::Other),
    (0x015D, "HHCCPOT002", K::Other),
    (0x02DF, "JQJCY01YM", K::Other),
    (0x0997, "JTYJGD03MI", K::OneButton),
    (0x1568, "K9B-1BTN", K::Switch),
    (0x1569, "K9B-2BTN", K::Switch),
    (0x0DFD, "K9B-3BTN", K::Switch),
    (0x1C10, "K9BB-1BTN", K::CodedButton),
    (0x1889, "MS1BB(MI)", K::Other),
    (0x2AEB, "HS1BB(MI)", K::Other),
    (0x3F0F, "RS1BB(MI)", K::Other),
    (0x3F4C, "PS1BB", K::Other),
    (0x01AA, "LYWSDCGQ", K::SingleCell),
    (0x045B, "LYWSD02", K::Other),
    (0x16E4, "LYWSD02MMC", K::Other),
    (0x2542, "LYWSD02MMC", K::Other),
    (0x055B, "LYWSD03MMC", K::Other),
    (0x2832, "MJWSD05MMC", K::Other),
    (0x4C47, "MJWSD05MMC", K::Other),
    (0x55B5, "MJWSD06MMC", K::Other),
    (0x5BEA, "MJWSD06MMC", K::Other),
    (0x5DB1, "MBS17", K::Other),
    (0x7712, "zhiee.flood.sj01", K::Leak),
    (0x098B, "MCCGQ02HL", K::LightSwitch),
    (0x06D3, "MHO-C303", K::Other),
    (0x0387, "MHO-C401", K::Other),
    (0x07F6, "MJYD02YL", K::MotionLight),
    (0x04E9, "MJZNMSQ01YD", K::Other),
    (0x00DB, "MMC-T201-1", K::Other),
    (0x0391, "MMC-W505", K::Other),
    (0x03DD, "MUE4094RT", K::Other),
    (0x0489, "M1S-T500", K::Other),
    (0x0806, "T700", K::Other),
    (0x1790, "T700i", K::Other),
    (0x0A8D, "RTCGQ02LM", K::MotionLight),
    (0x3531, "XMPIRO2SXS", K::Other),
    (0x4C60, "XMPIRO2GSXS", K::Other),
    (0x4683, "XMOSB01XS", K::Presence3),
    (0x0863, "SJWS01LM", K::OneButton),
    (0x6375, "SJWS02LM", K::Leak),
    (0x045C, "V-SK152", K::Other),
    (0x040A, "WX08ZM", K::Other),
    (0x04E1, "XMMF01JQD", K::Cube),
    (0x1203, "XMWSDJ04MMC", K::Other),
    (0x1949, "XMWXKG01YL", K::Switch),
    (0x2387, "XMWXKG01LM", K::OneButton),
    (0x098C, "XMZNMST02YD", K::Other),
    (0x0784, "XMZNMS04LM", K::Other),
    (0x0E39, "XMZNMS08LM", K::Other),
    (0x09B0, "loock.safe.v1", K::Other),
    (0x0599, "MJZNMS03LM", K::Other),
    (0x07BF, "YLAI003", K::OneButton),
    (0x38BB, "PTX_YK1_QMIMB", K::OneButton),
    (0x64C5, "PTX-F1", K::Switch),
    (0x78A3, "AFWXKG220000", K::OneButton),
    (0x0153, "YLYK01YL", K::Remote),
    (0x068E, "YLYK01YL-FANCL", K::Remote),
    (0x04E6, "YLYK01YL-VENFAN", K::Remote),
    (0x03BF, "YLYB01YL-BHFRC", K::Remote),
    (0x03B6, "YLKG07YL/YLKG08YL", K::Knob),
    (0x0083, "YM-K1501", K::Other),
    (0x0113, "YM-K1501EU", K::Other),
    (0x069E, "ZNMS16LM", K::Other),
    (0x069F, "ZNMS17LM", K::BoltLock),
    (0x0380, "DSL-C08", K::DiscoLock),
    (0x11C2, "Lockin-SV40", K::Other),
    (0x0DE7, "SU001-T", K::Other),
    (0x20DB, "MJZNZ018H", K::Other),
    (0x18E3, "ZX1", K::Other),
    (0x30D9, "MJTZC01YM", K::Other),
    (0x3BD5, "MJTZC01YM", K::Other),
    (0x45C9, "MJTZC02YM", K::Other),
    (0x48CF, "MJTZC01YM", K::Other),
    (0x4C04, "MJTZC02YM", K::Other),
    (0x4DCB, "MJTZC02YM", K::Other),
    (0x4B05, "MJTZC03YM", K::Other),
    (0x4FC2, "MJTZC01YM", K::Other),
    (0x50FB, "ES3", K::Other),
    (0x6A0F, "ES5BB", K::Other),
    (0x3A61, "KS1", K::Switch),
    (0x3E17, "KS1BP", K::Switch),
    (0x520B, "KS2BB", K::OneButton),
    (0x5968, "XMWS01XS", K::Switch),
];

/// Model and kind of a product number; `None` when it is not known.
pub(super) fn of(product: u16) -> Option<(&'static str, Kind)> {
    MODELS.iter().find(|(known, ..)| *known == product).map(|(_, model, kind)| (*model, *kind))
}
