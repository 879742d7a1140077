//! From a sensor's reading to a message: its topic, its payload, its presence.
//!
//! Never touches a clock or a socket; knows nothing of frames.

mod json;
mod presence;
mod senml;
mod thingsboard;
mod topics;

pub use json::{Json, render_value};
pub use presence::{Presence, PresenceChange};
pub use senml::SenMl;
pub use thingsboard::ThingsBoard;
pub use topics::{RouteError, SensorTopics};
