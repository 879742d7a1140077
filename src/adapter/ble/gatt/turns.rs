//! Who may be connected now: so many at once on each radio, the others wait in the order in which they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// A connection that is kept gives way after so long, when others wait.
const SLICE: Duration = Duration::from_secs(30);

/// The queues of all radios.
#[derive(Debug)]
pub(super) struct Turns {
    at_once: usize,
    queues: Mutex<HashMap<Arc<str>, Queue>>,
}

#[derive(Debug, Clone)]
struct Queue {
    /// Hands its permits out in the order in which they were asked for.
    permits: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
}

/// The right to be connected, as long as it is kept.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    waiting: watch::Receiver<usize>,
}

impl Turns {
    pub(super) fn new(at_once: usize) -> Turns {
        Turns { at_once: at_once.max(1), queues: Mutex::new(HashMap::new()) }
    }

    /// Waits for its turn on a radio.
    pub(super) async fn take(&self, radio: &Arc<str>) -> Turn {
        let queue = self.queue(radio);
        let _waiting = Waiting::new(&queue.waiting);
        // Nobody closes it.
        let permit = Arc::clone(&queue.permits).acquire_owned().await.ok();
        Turn { _permit: permit, waiting: queue.waiting.subscribe() }
    }

    fn queue(&self, radio: &Arc<str>) -> Queue {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let new =
            || Queue { permits: Arc::new(Semaphore::new(self.at_once)), waiting: watch::Sender::new(0) };
        queues.entry(Arc::clone(radio)).or_insert_with(new).clone()
    }
}

impl Turn {
    /// Comes back when it is time to give way: it lasted for a while, and somebody waits.
    pub(super) async fn is_over(&self) {
        sleep(SLICE).await;
        let mut waiting = self.waiting.clone();
        if waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
            std::future::pending().await
        }
    }
}

/// One who waits, counted also when it is given up.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Waiting<'_> {
    fn new(waiting: &watch::Sender<usize>) -> Waiting<'_> {
        waiting.send_modify(|waiting| *waiting += 1);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_taken_in_order_and_who_stays_gives_way_when_others_wait() {
        let turns = Arc::new(Turns::new(1));
        let (hci0, hci1): (Arc<str>, Arc<str>) = ("hci0".into(), "hci1".into());
        let first = turns.take(&hci0).await;
        let _other_radio = turns.take(&hci1).await;
        assert!(timeout(Duration::from_secs(3600), first.is_over()).await.is_err(), "nobody waits");
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..3 {
            let (turns, hci0, order) = (Arc::clone(&turns), Arc::clone(&hci0), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let turn = turns.take(&hci0).await;
                order.lock().unwrap().push(number);
                turn.is_over().await;
            }));
            tokio::task::yield_now().await;
        }
        let asked = Instant::now();
        first.is_over().await;
        assert!(asked.elapsed() <= SLICE + Duration::from_millis(10));
        drop(first);
        tasks.pop().map(|last| tokio::spawn(async move { drop(last.await) }));
        for task in tasks {
            task.await.unwrap();
        }
        tokio::task::yield_now().await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    }
}
