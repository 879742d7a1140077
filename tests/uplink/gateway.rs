//! A gateway cut down to a journal on disk and one uplink; it can be killed and started again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::smallvec;
use tidegate::bridge::{Options, PresenceMap, Queue, Restored, Status};
use tidegate::disk::{Clock, FileDisk, JournalClient, JournalHandle, start};
use tidegate::durable::{
    Boots, ConsumerId, Delivery, Message, MessageBody, Record, Sequence, State, Ticket, Urgency,
};
use tidegate::journal::{self, Journal, Writer};
use tidegate::mqtt::{QoS, TopicName};
use tidegate::reading::{Reading, Render};
use tidegate::stream::{Route, Url};
use tidegate::time::{Instant, Moment};
use tidegate::uplink::{Connector, ServerConnector, Surroundings, Uplink, UplinkOptions, spawn};
use tokio::sync::watch;

pub const CONSUMER: ConsumerId = ConsumerId(1);

struct NoReadings;

impl Render for NoReadings {
    fn render(&self, _: &Reading, _: &Boots) -> Bytes {
        unreachable!("these tests have no readings")
    }
}

pub struct Gateway {
    pub uplink: Uplink,
    pub journal: JournalHandle,
    broker: JournalClient,
    sequence: Sequence,
    _presence: watch::Sender<PresenceMap>,
    _boots: watch::Sender<Boots>,
}

fn clock() -> Clock {
    let start = std::time::Instant::now();
    Arc::new(move || Moment { monotonic: Instant::from_millis(1) + start.elapsed(), ..Moment::default() })
}

impl Gateway {
    pub async fn start(folder: &Path, port: u16, change: impl FnOnce(&mut Options)) -> Gateway {
        Gateway::of_several(folder, &[port], change).await
    }

    /// With several servers that stand in for each other, each on a port of its own.
    pub async fn of_several(folder: &Path, ports: &[u16], change: impl FnOnce(&mut Options)) -> Gateway {
        let url = |port| Url::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
        let mut connector = ServerConnector::new(ports.iter().map(url).collect(), Route::default());
        connector.return_after = Duration::from_millis(200);
        connector.note = Some(folder.join("cloud.server"));
        Gateway::over(folder, connector, change).await
    }

    /// Over connections of any kind.
    pub async fn over(
        folder: &Path,
        connector: impl Connector,
        change: impl FnOnce(&mut Options),
    ) -> Gateway {
        let options = journal::Options::new(256 << 20, rand());
        let (journal, recovery) = Journal::open(FileDisk::open(folder).unwrap(), options, clock()()).unwrap();
        let journal = start(journal, clock(), Box::new(|alarm| panic!("{alarm}"))).unwrap().handle;
        let broker = journal.client(Writer::BROKER).await.unwrap();
        let State { uplinks, last_sequence, .. } = recovery.state;
        let restored = Restored {
            new: !uplinks.contains_key(&CONSUMER),
            assigned: uplinks.get(&CONSUMER).map(|uplink| uplink.assigned.clone()).unwrap_or_default(),
            queued: recovery.queued.get(&CONSUMER).copied().unwrap_or_default(),
        };
        if restored.new {
            let record = Record::UplinkOpened { consumer: CONSUMER, name: "cloud".into() };
            broker.append(vec![(Ticket(1), Urgency::Awaited, record)]).await.unwrap();
        }
        let mut session = Options::new("gateway");
        session.backoff_max = Duration::from_secs(1);
        change(&mut session);
        let options = UplinkOptions { name: "cloud".into(), session };
        let (presence, presence_receiver) = watch::channel(PresenceMap::default());
        let (boots, boots_receiver) = watch::channel(Boots::default());
        let surroundings = Surroundings {
            runtime: tokio::runtime::Handle::current(),
            journal: journal.clone(),
            broker: None,
            presence: presence_receiver,
            boots: boots_receiver,
            clock: clock(),
            renderer: Arc::new(NoReadings),
            watch: Box::new(|_| {}),
            lay_aside: Box::new(|_| {}),
        };
        let uplink =
            spawn(connector, options, vec![Queue::new(CONSUMER, restored)], surroundings).await.unwrap();
        Gateway { uplink, journal, broker, sequence: last_sequence, _presence: presence, _boots: boots }
    }

    /// Accepts messages on `t/0` to `t/9` whose payload is their sequence, and returns when they are on disk.
    pub async fn keep(&mut self, count: u64, qos: QoS) {
        let mut records = Vec::new();
        for _ in 0..count {
            self.sequence = self.sequence.next();
            let message = Message {
                topic: TopicName::parse(format!("t/{}", self.sequence.0 % 10)).unwrap(),
                qos,
                retain: false,
                accepted_at: Moment::default(),
                body: MessageBody::Publish {
                    payload: Bytes::from(format!("{:064}", self.sequence.0)),
                    properties: None,
                },
            };
            let subscription_identifiers = smallvec![];
            let delivery = Delivery { consumer: CONSUMER, qos, retain: false, subscription_identifiers };
            let record = Record::Kept { sequence: self.sequence, message, deliveries: smallvec![delivery] };
            records.push((Ticket(self.sequence.0 + 1), Urgency::Awaited, record));
        }
        let last = records.last().map(|(ticket, _, _)| *ticket);
        for some in records.chunks(1000) {
            self.broker.append(some.to_vec()).await.unwrap();
        }
        let mut committed = None;
        while committed < last {
            for reply in self.broker.replies().await.unwrap() {
                if let tidegate::disk::Reply::Committed { ticket } = reply {
                    committed = committed.max(Some(ticket));
                }
            }
        }
    }

    pub async fn until(&self, good: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = self.uplink.watch();
        let waiting = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(good));
        let Ok(status) = waiting.await else { panic!("stuck: {:?}", self.uplink.status()) };
        status.unwrap().clone()
    }

    /// Until the server on this port has taken it.
    pub async fn until_at(&self, port: u16) {
        for _ in 0..600 {
            if self.uplink.server().ends_with(&format!(":{port}")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it stays with {}: {:?}", self.uplink.server(), self.uplink.status());
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        self.uplink.stop().await;
        self.journal.shutdown().await.unwrap();
    }
}

/// The journal wants another seed at each start.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}
