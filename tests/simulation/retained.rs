//! Which retained message may be given to a new subscription.

use crate::truth::{Fate, MessageId, Sent};

/// A retained message is stale when another one of its topic surely replaced it before the SUBSCRIBE was sent:
/// one that was acknowledged by then, and was first sent after this one was acknowledged, or later on the same
/// topic with the same QoS (of one QoS the order is kept).
pub fn assert_not_stale(sent: &[Sent], id: MessageId, subscribed_at: Option<u64>) {
    let Some(subscribed_at) = subscribed_at else { return };
    if let Some(by) = replaced_by(sent, id, subscribed_at) {
        panic!("m{id} came as retained, but m{by} had replaced it before the SUBSCRIBE");
    }
}

/// Topics that surely have a retained message now, with the messages that it may be.
pub fn surely_retained(sent: &[Sent], now: u64) -> Vec<(String, Vec<MessageId>)> {
    let mut topics: Vec<&str> =
        sent.iter().filter(|sent| sent.retain).map(|sent| sent.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let possible = |topic: &str| -> Vec<MessageId> {
        let ids = (0..sent.len()).filter(|id| sent[*id].retain && sent[*id].topic == topic);
        // Refused when it was repeated, it may have been taken the first time, when the answer was lost.
        let may_be_taken = |sent: &Sent| sent.fate != Fate::Refused || sent.transmissions > 1;
        ids.filter(|id| may_be_taken(&sent[*id]) && replaced_by(sent, *id, now).is_none()).collect()
    };
    let sure = |ids: &Vec<MessageId>| {
        ids.iter().all(|id| !sent[*id].clears) && ids.iter().any(|id| sent[*id].fate == Fate::Acknowledged)
    };
    let all = topics.into_iter().map(|topic| (topic.to_owned(), possible(topic)));
    all.filter(|(_, ids)| sure(ids)).collect()
}

fn replaced_by(sent: &[Sent], id: MessageId, now: u64) -> Option<MessageId> {
    let old = &sent[id];
    (0..sent.len()).find(|by| {
        let new = &sent[*by];
        let later = *by > id && new.qos == old.qos || old.acknowledged_at.is_some_and(|at| at < new.sent_at);
        new.retain && new.topic == old.topic && later && new.acknowledged_at.is_some_and(|at| at < now)
    })
}
