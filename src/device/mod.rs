//! From bytes of a device to readings: framers, profiles and decoders.
