//! What the gateway shows of itself: log lines, metrics, a status snapshot.
//!
//! One [`Snapshot`] holds everything that is shown; the metrics text and the status screen are written from it, so
//! that they never disagree. Nothing here decides anything, and nothing waits for whoever looks.

mod control;
mod dashboard;
mod events;
mod log;
mod metrics;
mod seldom;
mod snapshot;
mod socket;
mod uplink_events;

pub use control::{Action, Answer, CONTROL_SOCKET_NAME, ControlSocket, Wish, tell as tell_person};
pub use dashboard::{Dashboard, Question};
pub use events::{BrokerCounters, BrokerObserver};
pub use log::{Lines, start_log};
pub use metrics::render as render_metrics;
pub use snapshot::{
    BrokerStatus, ClockStatus, CommitHistogram, Health, JournalStatus, SensorStatus, Snapshot, UplinkStatus,
};
pub use socket::{SOCKET_NAME, StatusSocket, answer, socket_path};
pub use uplink_events::{LaidAside, UplinkObserver};
