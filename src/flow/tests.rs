//! The machine against a model that is too simple to be wrong, and its rules one by one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Inbound, Outbound, Phase, Publication, Received, Resend};
use crate::mqtt::{PacketIdentifier, QoS};

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

/// Assigns and sends at once, as an owner without a disk does.
fn send(outbound: &mut Outbound<u32>, qos: QoS, delivery: u32) -> PacketIdentifier {
    let identifier = outbound.assign(qos, delivery);
    assert_eq!(outbound.assigned_committed(identifier), Some(&delivery));
    identifier
}

fn resent(outbound: &Outbound<u32>) -> Vec<(u16, Resend)> {
    outbound.resend().map(|(identifier, resend, ..)| (identifier.get(), resend)).collect()
}

#[test]
fn qos1_ends_with_puback() {
    let mut outbound = Outbound::new(10);
    let first = outbound.assign(QOS1, 1);
    assert_eq!(outbound.acknowledged(first), None, "it was not sent: its identifier is not on disk");
    assert_eq!(outbound.assigned_committed(first), Some(&1));
    assert_eq!(outbound.assigned_committed(first), None, "it is sent once");
    assert_eq!(outbound.received(first), Received::Unknown, "PUBREC does not belong to QoS 1");
    assert_eq!(outbound.completed(first), None);
    assert_eq!(outbound.acknowledged(first), Some(1));
    assert_eq!(outbound.acknowledged(first), None);
    assert!(outbound.is_empty());
}

/// PUBLISH, PUBREC, PUBREL, PUBCOMP, each once and in this order `[MQTT-4.3.3-1]` to `[MQTT-4.3.3-7]`.
#[test]
fn qos2_ends_with_pubcomp_after_its_release_is_on_disk() {
    let mut outbound = Outbound::new(10);
    let first = send(&mut outbound, QOS2, 1);
    assert_eq!(outbound.acknowledged(first), None, "PUBACK does not belong to QoS 2");
    assert_eq!(outbound.completed(first), None, "PUBCOMP before PUBREL");
    assert_eq!(outbound.received(first), Received::Release);
    assert_eq!(outbound.received(first), Received::Waiting);
    assert_eq!(outbound.completed(first), None, "PUBREL is not sent before the release is on disk");
    assert_eq!(resent(&outbound), [], "neither PUBLISH nor PUBREL may be sent now");
    assert!(outbound.release_committed(first));
    assert!(!outbound.release_committed(first));
    assert_eq!(outbound.received(first), Received::Repeat);
    assert_eq!(outbound.refused(first), None, "it is received already");
    assert_eq!(outbound.completed(first), Some(1));
    assert_eq!(outbound.received(first), Received::Unknown);
}

/// An error in PUBREC ends the delivery and frees its identifier.
#[test]
fn qos2_ends_with_a_refusal() {
    let mut outbound = Outbound::new(1);
    let first = send(&mut outbound, QOS2, 1);
    assert_eq!(outbound.free(), 0);
    assert_eq!(outbound.refused(first), Some(1));
    assert_eq!(outbound.free(), 1);
}

/// Acknowledgements may come in any order; what is left is sent again in the order of first sending
/// `[MQTT-4.6.0-1]`.
#[test]
fn all_orders_of_acknowledgement_leave_the_rest_in_order() {
    for order in permutations(&[1, 2, 3, 4, 5]) {
        let mut outbound = Outbound::new(5);
        for delivery in 1..=5 {
            send(&mut outbound, QOS1, delivery);
        }
        let mut left: Vec<u16> = (1..=5).collect();
        for number in order {
            assert_eq!(outbound.acknowledged(identifier(number)), Some(u32::from(number)));
            left.retain(|other| *other != number);
            let expected: Vec<_> = left.iter().map(|number| (*number, Resend::Publish)).collect();
            assert_eq!(resent(&outbound), expected);
        }
    }
}

fn permutations(numbers: &[u16]) -> Vec<Vec<u16>> {
    if numbers.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in numbers.iter().enumerate() {
        let rest: Vec<u16> = [&numbers[..at], &numbers[at + 1..]].concat();
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}

/// An identifier in use is not given again, also after 65,535 `[MQTT-2.2.1-3]`.
#[test]
fn identifiers_in_use_are_skipped_when_they_come_round() {
    let mut outbound = Outbound::new(3);
    let stuck = send(&mut outbound, QOS2, 0);
    let reserved = outbound.reserve();
    assert_eq!((stuck.get(), reserved.get()), (1, 2));
    let mut seen = BTreeSet::new();
    for delivery in 1..=140_000 {
        let given = send(&mut outbound, QOS1, delivery);
        assert!(given != stuck && given != reserved);
        seen.insert(given);
        assert_eq!(outbound.acknowledged(given), Some(delivery));
    }
    assert_eq!(seen.len(), 65_533, "all others are used");
    assert!(outbound.unreserve(reserved));
    assert!(!outbound.unreserve(reserved));
}

/// However large the window, a SUBSCRIBE finds an identifier, and nothing loops for ever.
#[test]
fn the_largest_window_leaves_identifiers_for_other_packets() {
    let mut outbound = Outbound::new(u16::MAX);
    let mut delivery = 0;
    while outbound.free() > 0 {
        send(&mut outbound, QOS1, delivery);
        delivery += 1;
    }
    assert!(delivery > 65_000);
    outbound.reserve();
}

/// No more than the receiver takes at once `[MQTT-3.3.4-9]`; a smaller window leaves open what is open.
#[test]
fn the_window_is_respected_when_it_changes() {
    let mut outbound = Outbound::new(3);
    let open: Vec<_> = (0..3).map(|delivery| send(&mut outbound, QOS1, delivery)).collect();
    assert_eq!(outbound.free(), 0);
    outbound.set_receive_maximum(1);
    assert_eq!((outbound.free(), outbound.len()), (0, 3));
    outbound.acknowledged(open[0]);
    outbound.acknowledged(open[2]);
    assert_eq!(outbound.free(), 0);
    outbound.acknowledged(open[1]);
    assert_eq!(outbound.free(), 1);
    assert_eq!(Outbound::<u32>::new(0).free(), 1, "a window of none would never move");
}

#[test]
#[should_panic(expected = "the window has no place left")]
fn a_full_window_takes_nothing_more() {
    let mut outbound = Outbound::new(1);
    outbound.assign(QOS1, 1);
    outbound.assign(QOS1, 2);
}

/// What is restored is sent again: PUBLISH where only that was sent, PUBREL where the release is on disk.
#[test]
fn a_restored_window_goes_on_where_it_was() {
    let mut outbound = Outbound::new(10);
    outbound.restore(identifier(7), QOS2, Phase::Released, 1);
    outbound.restore(identifier(3), QOS1, Phase::Published, 2);
    assert_eq!(resent(&outbound), [(7, Resend::PubRel), (3, Resend::Publish)]);
    assert_eq!(outbound.assign(QOS1, 3), identifier(4), "identifiers go on after the last one");
    assert_eq!(outbound.completed(identifier(7)), Some(1));
    assert_eq!(outbound.acknowledged(identifier(3)), Some(2));
}

#[test]
fn forgetting_says_how_far_each_came_in_order() {
    let mut outbound = Outbound::new(10);
    let published = send(&mut outbound, QOS1, 1);
    let received = send(&mut outbound, QOS2, 2);
    let released = send(&mut outbound, QOS2, 3);
    let assigned = outbound.assign(QOS2, 4);
    outbound.received(received);
    outbound.received(released);
    outbound.release_committed(released);
    let expected = vec![
        (published, Phase::Published, 1),
        (received, Phase::Received, 2),
        (released, Phase::Released, 3),
        (assigned, Phase::Assigned, 4),
    ];
    assert_eq!(outbound.forget(), expected);
    assert!(outbound.is_empty());
    assert!(outbound.acknowledged(published).is_none());
    assert_eq!(outbound.assign(QOS1, 5), identifier(1), "a new session begins anew");
}

/// A message that cannot be sent again frees its identifier, unless it has arrived.
#[test]
fn only_what_has_not_arrived_is_abandoned() {
    let mut outbound = Outbound::new(10);
    let published = send(&mut outbound, QOS1, 1);
    let received = send(&mut outbound, QOS2, 2);
    outbound.received(received);
    assert_eq!(outbound.abandon(published), Some(1));
    assert_eq!(outbound.abandon(published), None);
    assert_eq!(outbound.abandon(received), None);
    assert!(outbound.release_committed(received));
    assert_eq!(outbound.abandon(received), None);
    assert_eq!(outbound.completed(received), Some(2));
}

/// A repetition is known by its identifier until PUBREL `[MQTT-4.3.3-10]`, and bounded.
#[test]
fn inbound_identifiers_are_open_from_publish_to_pubrel() {
    let mut inbound = Inbound::new(2);
    assert_eq!(inbound.published(identifier(5)), Publication::New);
    assert_eq!(inbound.published(identifier(5)), Publication::Repeated);
    assert_eq!(inbound.published(identifier(6)), Publication::New);
    assert_eq!(inbound.published(identifier(7)), Publication::TooMany);
    assert_eq!(inbound.published(identifier(5)), Publication::Repeated, "a repetition needs no place");
    assert!(inbound.released(identifier(5)));
    assert!(!inbound.released(identifier(5)));
    assert_eq!(inbound.published(identifier(7)), Publication::New);
    inbound.refused(identifier(7));
    assert!(!inbound.is_open(identifier(7)));
    assert_eq!(inbound.open().collect::<Vec<_>>(), [identifier(6)]);
    inbound.restore([identifier(9)]);
    assert_eq!(inbound.len(), 2);
    inbound.forget();
    assert!(inbound.is_empty());
}

/// What may happen to a window.
#[derive(Debug, Clone)]
enum Step {
    Assign(QoS),
    AssignedCommitted(u16),
    Acknowledged(u16),
    Received(u16),
    Refused(u16),
    ReleaseCommitted(u16),
    Completed(u16),
    Abandon(u16),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1..40_u16;
    prop_oneof![
        6 => prop_oneof![Just(QOS1), Just(QOS2)].prop_map(Step::Assign),
        6 => number.clone().prop_map(Step::AssignedCommitted),
        4 => number.clone().prop_map(Step::Acknowledged),
        4 => number.clone().prop_map(Step::Received),
        1 => number.clone().prop_map(Step::Refused),
        4 => number.clone().prop_map(Step::ReleaseCommitted),
        4 => number.clone().prop_map(Step::Completed),
        1 => number.prop_map(Step::Abandon),
        1 => Just(Step::Forget),
    ]
}

/// A window as a list.
#[derive(Default)]
struct Model {
    open: Vec<(PacketIdentifier, QoS, Phase, u32)>,
}

impl Model {
    /// Moves an entry from one phase to the next.
    fn advance(&mut self, identifier: PacketIdentifier, qos: &[QoS], from: Phase, to: Phase) -> Option<u32> {
        let entry = self.open.iter_mut().find(|entry| entry.0 == identifier)?;
        if !qos.contains(&entry.1) || entry.2 != from {
            return None;
        }
        entry.2 = to;
        Some(entry.3)
    }

    fn take(&mut self, identifier: PacketIdentifier, qos: &[QoS], from: &[Phase]) -> Option<u32> {
        let at = self.open.iter().position(|entry| entry.0 == identifier)?;
        let (_, its_qos, phase, delivery) = self.open[at];
        (qos.contains(&its_qos) && from.contains(&phase)).then(|| {
            self.open.remove(at);
            delivery
        })
    }
}

proptest! {
    /// Any sequence of events, sensible or not, does what a plain list would.
    #[test]
    fn the_window_behaves_like_a_list(steps in prop::collection::vec(step(), 0..400), window in 1..12_u16) {
        let both = [QOS1, QOS2];
        let mut outbound = Outbound::new(window);
        let mut model = Model::default();
        for (delivery, step) in (0..).zip(steps) {
            match step {
                Step::Assign(qos) if outbound.free() > 0 => {
                    let given = outbound.assign(qos, delivery);
                    prop_assert!(model.open.iter().all(|entry| entry.0 != given));
                    model.open.push((given, qos, Phase::Assigned, delivery));
                }
                Step::Assign(_) => prop_assert_eq!(model.open.len(), usize::from(window)),
                Step::AssignedCommitted(number) => {
                    let sent = outbound.assigned_committed(identifier(number)).copied();
                    let wanted = model.advance(identifier(number), &both, Phase::Assigned, Phase::Published);
                    prop_assert_eq!(sent, wanted);
                }
                Step::Acknowledged(number) => {
                    let wanted = model.take(identifier(number), &[QOS1], &[Phase::Published]);
                    prop_assert_eq!(outbound.acknowledged(identifier(number)), wanted);
                }
                Step::Received(number) => {
                    let wanted = model.advance(identifier(number), &[QOS2], Phase::Published, Phase::Received);
                    let got = outbound.received(identifier(number));
                    prop_assert_eq!(got == Received::Release, wanted.is_some());
                }
                Step::Refused(number) => {
                    let wanted = model.take(identifier(number), &[QOS2], &[Phase::Published]);
                    prop_assert_eq!(outbound.refused(identifier(number)), wanted);
                }
                Step::ReleaseCommitted(number) => {
                    let wanted = model.advance(identifier(number), &both, Phase::Received, Phase::Released);
                    prop_assert_eq!(outbound.release_committed(identifier(number)), wanted.is_some());
                }
                Step::Completed(number) => {
                    let wanted = model.take(identifier(number), &[QOS2], &[Phase::Released]);
                    prop_assert_eq!(outbound.completed(identifier(number)), wanted);
                }
                Step::Abandon(number) => {
                    let early = [Phase::Assigned, Phase::Published];
                    let wanted = model.take(identifier(number), &both, &early);
                    prop_assert_eq!(outbound.abandon(identifier(number)), wanted);
                }
                Step::Forget => {
                    let wanted: Vec<_> = model.open.drain(..).map(|(id, _, phase, what)| (id, phase, what)).collect();
                    prop_assert_eq!(outbound.forget(), wanted);
                }
            }
            let all: Vec<_> = outbound.iter().map(|(id, phase, delivery)| (id, phase, *delivery)).collect();
            let wanted: Vec<_> = model.open.iter().map(|(id, _, phase, delivery)| (*id, *phase, *delivery)).collect();
            prop_assert_eq!(all, wanted);
            prop_assert_eq!(outbound.len(), model.open.len());
        }
    }

    /// One delivery that is never answered does not let the order grow without bound, nor out of order.
    #[test]
    fn a_stuck_delivery_keeps_its_place(count in 1..2000_u32) {
        let mut outbound = Outbound::new(10);
        let stuck = send(&mut outbound, QOS2, 0);
        for delivery in 1..=count {
            let given = send(&mut outbound, QOS1, delivery);
            if delivery != count {
                outbound.acknowledged(given);
            }
        }
        let left: Vec<_> = outbound.iter().map(|(id, _, delivery)| (id == stuck, *delivery)).collect();
        prop_assert_eq!(left, [(true, 0), (false, count)]);
    }
}
