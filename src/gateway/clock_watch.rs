//! Learns when the wall clock of this boot becomes true, keeps that in the journal and tells those who render times.
//!
//! Readings taken before get their true time then, those that wait in the journal included.

use std::time::Duration;

use tokio::sync::watch;

use crate::disk::{Clock, JournalHandle, JournalStopped};
use crate::durable::{Boots, Record, Ticket, Urgency};
use crate::journal::Writer;
use crate::net::{Entrance, Stopped};
use crate::time::{Moment, TimeQuality};

/// How often an unset clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The gateway itself as a writer of the journal; uplinks use small numbers.
const WRITER: Writer = Writer(u32::MAX);

/// Ends when the clock is known, or the gateway stops.
pub(super) async fn learn(
    clock: Clock,
    boots: watch::Sender<Boots>,
    broker: Entrance,
    journal: JournalHandle,
) {
    let boot = clock().boot;
    if boots.borrow().iter().any(|(known, _)| known == boot) {
        return;
    }
    let first = clock();
    let now = synced(&clock).await;
    if first.quality == TimeQuality::Unsynced {
        tracing::info!("the clock is set: readings taken before get their true time");
    }
    let zero = i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX);
    let unix_ms_at_zero = now.unix_ms.saturating_sub(zero);
    boots.send_modify(|boots| boots.learn(boot, unix_ms_at_zero));
    let known = boots.borrow().clone();
    let record = Record::BootSynced { boot, unix_ms_at_zero };
    let (told, kept) = (broker.learn_clock(known).await, keep(&journal, record).await);
    if told == Err(Stopped) || kept == Err(JournalStopped) {
        tracing::debug!("the gateway stops; the next run learns the clock anew");
    }
}

async fn keep(journal: &JournalHandle, record: Record) -> Result<(), JournalStopped> {
    let client = journal.client(WRITER).await?;
    client.append(vec![(Ticket(1), Urgency::Lingers, record)]).await
}

async fn synced(clock: &Clock) -> Moment {
    loop {
        let now = clock();
        if now.quality == TimeQuality::Synced {
            return now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
