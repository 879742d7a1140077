//! What Bluetooth Low Energy advertisements say: bytes of the air become measurements, or a named problem.
//!
//! [`decode`] is the whole way: an [`Advertisement`], the device's [`Key`] if it has one, and what is remembered of
//! it ([`Memory`]) give a [`Sighting`] or a [`Problem`](super::Problem). One file per family of formats; each
//! names the public description that it was written from. Where a format has no published description, the facts
//! come from captured advertisements and from what independent decoders agree on.
//!
//! A format that lies about a length, or whose authentication tag does not hold, gives a problem and never a
//! measurement. Never listens itself: that is the adapter's.

mod advertisement;
mod crypt;
mod data;
mod family;
mod quantity;
mod readout;
mod registry;
#[cfg(test)]
mod tests;

pub use advertisement::{Address, Advertisement, Uuid};
pub use crypt::{Key, Memory};
pub use readout::Sighting;
pub use registry::{decode, families};
