//! Plays advertisements that were written down, in place of a radio.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::antenna::{AdvertSource, Antenna, Heard};
use crate::device::ble::Advertisement;

/// What is played: each after so long.
#[derive(Debug, Clone, Default)]
pub struct Replay(pub Vec<(Duration, Advertisement)>);

impl AdvertSource for Replay {
    async fn listen(self, antenna: Arc<Antenna>) {
        for (after, advertisement) in self.0 {
            sleep(after).await;
            let whole = advertisement.clone();
            antenna.heard(Heard { radio: "replay".into(), fresh: advertisement, whole });
        }
    }
}
