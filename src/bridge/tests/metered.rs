//! Links that cost: what waits for another day or another hour, and what does not wait.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::{DayWindow, Held, Metered, Spent};
use super::world::World;
use crate::mqtt::QoS;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn metered(bytes_per_day: Option<u64>, windows: &[&str]) -> World {
    let mut world = World::with_queues(|options| {
        options.keep_alive_seconds = 0;
        options.metered = Some(Metered {
            bytes_per_day,
            windows: windows.iter().map(|text| DayWindow::parse(text).unwrap()).collect(),
            zone: TimeZone::UTC,
            spent: Spent::default(),
        });
    });
    world.now.unix_ms = 20_000 * 86_400_000;
    world
}

fn pass(world: &mut World, time: Duration) {
    world.now.unix_ms += i64::try_from(time.as_millis()).unwrap();
    world.advance(time);
    world.settle();
}

#[test]
fn when_the_days_bytes_are_used_up_only_alarms_go_until_midnight() {
    let mut world = metered(Some(1000), &[]);
    world.connect();
    world.keep(200, QoS::AtLeastOnce);
    world.settle();
    let today = world.cloud.numbers().len();
    let status = world.forwarder.status().clone();
    assert!((20..180).contains(&today), "{today} went");
    assert_eq!(status.held, Some(Held::BudgetSpent));
    assert!((1000..1100).contains(&status.spent.bytes), "{:?}", status.spent);
    world.keep_on("alarm/fire", QoS::AtLeastOnce);
    world.commit();
    world.settle();
    assert_eq!(world.cloud.numbers().last(), Some(&201), "an alarm does not wait");
    for _ in 0..10 {
        pass(&mut world, DAY);
    }
    let mut all = world.cloud.numbers();
    assert_eq!(all.remove(today), 201);
    assert_eq!(all, (1..=200).collect::<Vec<_>>(), "in order, over the days");
    assert_eq!(world.forwarder.status().held, None);
}

#[test]
fn outside_of_its_windows_a_link_carries_alarms_only() {
    let mut world = metered(None, &["01:00-02:00"]);
    world.connect();
    world.keep(3, QoS::AtLeastOnce);
    world.settle();
    assert_eq!(world.forwarder.status().held, Some(Held::OutsideWindows));
    assert!(world.cloud.numbers().is_empty());
    world.keep_on("alarm/fire", QoS::AtLeastOnce);
    world.commit();
    world.settle();
    assert_eq!(world.cloud.numbers(), [4]);
    pass(&mut world, Duration::from_secs(3601));
    assert_eq!(world.cloud.numbers(), [4, 1, 2, 3]);
    assert_eq!(world.forwarder.status().held, None);
}
