//! Random histories with crashes, against a plain list; each from a seed that is printed when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use tidegate::durable::{ConsumerId, Record, Sequence, Urgency};
use tidegate::journal::{Load, Options, Quota, Report, WhenFull, WhenUsedUp};

use crate::crash_disk::{FaultRates, Tear};
use crate::world::{CONSUMERS, World, assigned, options};

/// `TIDEGATE_SEEDS=from..to` runs others, or one again.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("TIDEGATE_SEEDS") else { return 0..count };
    let (from, to) = text.split_once("..").expect("TIDEGATE_SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

fn for_each_seed(count: u64, history: impl Fn(u64)) {
    for seed in seeds(count) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| history(seed))) {
            println!("repeat with TIDEGATE_SEEDS={seed}..{}", seed + 1);
            resume_unwind(panic);
        }
    }
}

/// The power goes, or only the process dies.
fn end(world: &mut World) -> Report {
    let tears = [Tear::LoseAll, Tear::KeepAll, Tear::Sectors, Tear::Pages, Tear::Prefix];
    match tears.get(world.rng.below(8) as usize) {
        Some(tear) => world.crash(*tear),
        None => world.kill(),
    }
}

/// One thing that a gateway does to its journal.
fn step(world: &mut World, message_bytes: u64) {
    match world.rng.below(20) {
        0..8 => {
            let count = 1 + world.rng.below(4);
            let urgency = if world.rng.per_mille(500) { Urgency::Awaited } else { Urgency::Lingers };
            let mut records = Vec::new();
            for _ in 0..count {
                records.push(world.random_message(message_bytes));
            }
            world.append(urgency, records);
        }
        8..13 => settle_some(world),
        13..16 => world.commit(),
        16 => {
            let consumer = ConsumerId(1 + world.rng.below(u64::from(CONSUMERS)) as u32);
            let number = 1 + world.rng.below(5) as u16;
            let sequence = Sequence(world.rng.below(world.next_sequence.0));
            if world.spared.contains(&sequence) {
                return;
            }
            world.append(Urgency::Lingers, vec![assigned(consumer, number, sequence)]);
        }
        17 => {
            let consumer = ConsumerId(1 + world.rng.below(u64::from(CONSUMERS)) as u32);
            world.append(Urgency::Lingers, vec![Record::WindowForgotten { consumer }]);
        }
        18 => world.pass(Duration::from_millis(300)),
        _ => world.tend(),
    }
}

/// Takes what comes first for somebody, and settles it, now and then out of order.
fn settle_some(world: &mut World) {
    let consumer = ConsumerId(1 + world.rng.below(u64::from(CONSUMERS)) as u32);
    let load = Load {
        consumer,
        after: Sequence::ZERO,
        max_messages: 1 + world.rng.below(30) as usize,
        max_bytes: 100_000,
        committed_only: world.rng.per_mille(500),
    };
    let loaded = world.journal().load(&load);
    for delivery in loaded.deliveries {
        if world.rng.per_mille(800) {
            let sequence = delivery.sequence;
            world.append(Urgency::Lingers, vec![Record::Done { consumer, sequence }]);
        }
    }
}

/// Whatever the power cut leaves, the journal holds a prefix of what was appended, everything committed in it.
#[test]
fn what_was_committed_survives_every_crash() {
    for_each_seed(60, |seed| {
        let mut world = World::new(seed, options(seed));
        world.let_some_ahead();
        let message_bytes = [40, 400, 4_000, 40_000][world.rng.below(4) as usize];
        for _ in 0..5 {
            let cut_in = 1 + world.rng.below(40);
            world.disk.power_off_at(world.disk.operations() + cut_in);
            for _ in 0..400 {
                step(&mut world, message_bytes);
                if !world.disk.is_powered() {
                    break;
                }
            }
            let report = end(&mut world);
            assert!(report.is_sound(), "a crash damages nothing that was acknowledged: {report:?}");
        }
    });
}

/// The same while writes, syncs and creations fail now and then.
#[test]
fn what_was_committed_survives_failing_disks_too() {
    for_each_seed(40, |seed| {
        let mut world = World::new(seed, options(seed));
        world.let_some_ahead();
        for _ in 0..4 {
            world.disk.set_fault_rates(FaultRates { write: 30, sync: 30, create: 100, read: 0 });
            for _ in 0..300 {
                step(&mut world, 1000);
                world.pass(Duration::from_millis(50));
            }
            world.disk.set_fault_rates(FaultRates::default());
            let report = end(&mut world);
            assert!(report.is_sound(), "{report:?}");
        }
    });
}

/// Two consumers with a share each.
fn quotas() -> Vec<Quota> {
    let quota = |consumer, when_used_up| Quota {
        consumers: vec![ConsumerId(consumer)],
        max_bytes: Some(40_000),
        max_age: None,
        when_used_up,
    };
    vec![quota(1, WhenUsedUp::DropNewest), quota(3, WhenUsedUp::DropOldest)]
}

/// The same with little room: what is missing is what was said to be dropped.
#[test]
fn what_was_committed_survives_or_is_counted_when_there_is_little_room() {
    for_each_seed(40, |seed| {
        let when_full = [WhenFull::DropOldest, WhenFull::Block, WhenFull::DropNewest, WhenFull::KeepLatest]
            [usize::try_from(seed % 4).unwrap()];
        let options = Options { max_bytes: 8 * 64 * 1024, when_full, ..options(seed) };
        let mut world = World::new(seed, options);
        world.let_some_ahead();
        world.quotas = quotas();
        world.quotas.clone().into_iter().for_each(|quota| world.journal().set_quota(quota));
        for _ in 0..4 {
            world.disk.set_fault_rates(FaultRates { write: 5, sync: 5, create: 10, read: 0 });
            let cut_in = 1 + world.rng.below(600);
            world.disk.power_off_at(world.disk.operations() + cut_in);
            for _ in 0..500 {
                step(&mut world, 3_000);
                if !world.disk.is_powered() {
                    break;
                }
            }
            world.disk.set_fault_rates(FaultRates::default());
            let report = end(&mut world);
            assert!(report.is_sound(), "{report:?}");
        }
    });
}
