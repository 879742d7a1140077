//! A crowd goes by: ten thousand random addresses per minute for ten minutes, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tidegate::adapter::ble::{AdvertSource, Antenna, Automatic, Heard, serve_all};
use tidegate::adapter::{Counters, Sink};
use tidegate::clock::Clock;
use tidegate::device::ble::{Address, Advertisement, Uuid};
use tidegate::limits;
use tidegate::net::Publication;
use tokio::sync::mpsc;
use tokio::time::sleep;

const PER_MINUTE: u32 = 10_000;
const MINUTES: u32 = 10;
const HOME: Address = Address([0xA4, 0xC1, 0x38, 0, 0, 1]);

/// Phones and trackers, each heard once under an address that never comes back; and one sensor of the house.
struct Crowd;

impl AdvertSource for Crowd {
    async fn listen(self, antenna: Arc<Antenna>) {
        for number in 0..PER_MINUTE * MINUTES {
            sleep(Duration::from_micros(60_000_000 / u64::from(PER_MINUTE))).await;
            let [a, b, c, d] = number.to_be_bytes();
            let is_home = number.is_multiple_of(1000);
            let address = if is_home { HOME } else { Address([0x40 | b, a, 7, b, c, d]) };
            let mut fresh = Advertisement { address, rssi: Some(-70), ..Advertisement::default() };
            let temperature = [0x40, 0x02, c, d & 0x0F];
            fresh.service_data.push((Uuid::from_short(0xFCD2), Bytes::copy_from_slice(&temperature)));
            antenna.heard(Heard { radio: "hci0".into(), whole: fresh.clone(), fresh });
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_hundred_thousand_random_addresses_take_bounded_memory() {
    let published = Arc::new(AtomicUsize::new(0));
    let made = Arc::new(AtomicUsize::new(0));
    let used = allocation_counter::measure(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let (published, made) = (Arc::clone(&published), Arc::clone(&made));
        runtime.block_on(async move {
            let antenna = Arc::new(Antenna::default());
            let (outlet, mut inbox) = mpsc::channel::<Vec<Publication>>(64);
            let automatic = Automatic {
                families: vec!["bthome".to_owned()],
                gateway: "g".to_owned(),
                sink: Box::new(move |_| {
                    made.fetch_add(1, Relaxed);
                    let sink = Sink::new(outlet.clone(), Arc::new(Counters::default()));
                    Box::pin(async move { Some(sink) })
                }),
                forget: Box::new(|_| ()),
            };
            let serving = tokio::spawn(serve_all(automatic, Arc::clone(&antenna), Clock::system()));
            let counting = tokio::spawn(async move {
                while let Some(publications) = inbox.recv().await {
                    published.fetch_add(publications.len(), Relaxed);
                }
            });
            tokio::task::yield_now().await;
            Crowd.listen(antenna).await;
            serving.abort();
            counting.abort();
        });
    });
    assert!(made.load(Relaxed) >= limits::BLE_AUTOMATIC, "as many as there may be");
    // Some kilobytes for each device that may be published, however many go by.
    assert!(used.bytes_max < 8 << 20, "{} bytes at most", used.bytes_max);
    assert!(published.load(Relaxed) >= limits::BLE_AUTOMATIC);
}
