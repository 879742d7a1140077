//! Clients that say anything: the fuzz target of `tests/fuzz` for whole connections, fed from seeds instead of by a
//! fuzzer. `TIDEGATE_FUZZ_SEED` and `TIDEGATE_FUZZ_INPUTS` repeat a run or make a long one.

use bytes::BytesMut;
use tidegate::mqtt::{Packet, ProtocolVersion, ReasonCode, encode};

use super::fuzz_connection::fuzz_connection;
use super::packets::*;
use super::random::Random;

const INPUTS: u64 = 1500;
const ORDERS: usize = 40;

#[test]
fn whatever_clients_say_the_broker_stands() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("TIDEGATE_FUZZ_SEED").unwrap_or(1);
    let inputs = number("TIDEGATE_FUZZ_INPUTS").unwrap_or(INPUTS);
    for seed in first..first + inputs {
        let script = script(&mut Random(seed));
        let outcome = std::panic::catch_unwind(|| fuzz_connection(&script));
        assert!(outcome.is_ok(), "TIDEGATE_FUZZ_SEED={seed} TIDEGATE_FUZZ_INPUTS=1");
    }
}

/// Orders for the target: mostly sound packets, some of them damaged, of clients that come and go.
fn script(random: &mut Random) -> Vec<u8> {
    let mut script = Vec::new();
    let mut versions = [None; 4];
    for _ in 0..ORDERS {
        let who = random.below(4);
        let who_bits = u8::try_from(who).unwrap();
        match random.below(20) {
            0 => {
                versions[who] = None;
                script.push(5 << 2 | who_bits);
            }
            1 => script.push(u8::try_from(random.below(8)).unwrap() << 5 | 6 << 2 | who_bits),
            2 if random.chance(20) => {
                versions = [None; 4];
                script.push(7 << 2 | who_bits);
            }
            _ => {
                let packet = match versions[who] {
                    None => {
                        let hello = greeting(random, who);
                        versions[who] = Some(hello.0.version);
                        hello.into()
                    }
                    Some(_) => packet(random),
                };
                let version = versions[who].unwrap_or(ProtocolVersion::V5);
                let mut bytes = BytesMut::new();
                if encode(version, &packet, &mut bytes).is_err() {
                    continue;
                }
                if random.chance(12) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
                bytes.truncate(255);
                script.push(who_bits);
                script.push(u8::try_from(bytes.len()).unwrap());
                script.extend_from_slice(&bytes);
            }
        }
    }
    script
}

fn greeting(random: &mut Random, who: usize) -> Hello {
    let name = format!("c{}", if random.chance(20) { random.below(4) } else { who });
    let hello = random.of(&[v5 as fn(&str) -> Hello, v5, v311, v31])(&name);
    let mut hello = if random.chance(60) { hello.persistent() } else { hello };
    if hello.0.version == ProtocolVersion::V5 {
        hello = hello.receive_maximum(random.of(&[1, 2, 50])).topic_alias_maximum(random.of(&[0, 1, 9]));
        if random.chance(20) {
            hello = hello.maximum_packet_size(random.of(&[5, 30, 60]));
        }
        if random.chance(30) {
            hello = hello.expiry(random.of(&[0, 100, u32::MAX]));
        }
    }
    if random.chance(30) {
        hello = hello.will(will(topic(random), "gone"));
    }
    hello.keep_alive(random.of(&[0, 0, 60]))
}

fn topic(random: &mut Random) -> &'static str {
    random.of(&["a", "a/b", "a/b/c", "$SYS/x", "long/topic/name"])
}

fn packet(random: &mut Random) -> Packet {
    let identifier = random.of(&[1, 2, 3, 4]);
    match random.below(16) {
        0..4 => {
            let filter =
                random.of(&["a", "a/#", "+/b", "#", "$share/g/a/#", "$share/g/#", "$share/h/+", "b#"]);
            subscribe_all(
                identifier,
                random.of(&[None, Some(7)]),
                &[(filter, options(random.of(&[0, 1, 2])))],
            )
        }
        4 => unsubscribe(identifier, &[random.of(&["a", "a/#", "$share/g/a/#", "$share/g/#"])]),
        5..10 => {
            let mut says = publish(topic(random), random.of(&[0, 1, 2]), identifier, "x");
            says.0.retain = random.chance(20);
            if random.chance(20) {
                says = says.expiry(random.of(&[0, 30, 1000]));
            }
            if random.chance(20) {
                says = says.alias(random.of(&[1, 16, 17]));
            }
            says.into()
        }
        10 => puback(identifier),
        11 => pubrec(identifier),
        12 => pubrel(identifier),
        13 => pubcomp(identifier),
        14 if random.chance(50) => Packet::PubAck(refusal(identifier)),
        14 => Packet::PubRec(refusal(identifier)),
        _ if random.chance(30) => disconnect(random.of(&[ReasonCode::Success, ReasonCode::UnspecifiedError])),
        _ => Packet::PingReq,
    }
}
