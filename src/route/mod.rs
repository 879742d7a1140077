//! From a sensor's reading to a message: its topic, its payload, its presence.
//!
//! Never touches a clock or a socket; knows nothing of frames.

mod json;
mod presence;
mod topics;

pub use json::{Json, render_value};
pub use presence::{Presence, PresenceChange};
pub use topics::{RouteError, SensorTopics};
