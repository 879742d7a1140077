//! Damaged packets: the fuzz target of `tests/fuzz`, fed from a seed instead of by a fuzzer.
//!
//! `TIDEGATE_FUZZ_SEED` and `TIDEGATE_FUZZ_INPUTS` repeat a run or make a long one.

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tidegate::mqtt::encode;

use super::arbitrary::conversation;
use super::fuzz_codec::fuzz_codec;
use super::wire::{Side, V3_1, V3_1_1};

const INPUTS: u64 = 20_000;
const MUTANTS_OF_EACH: u64 = 20;

#[test]
fn damaged_packets_never_break_the_codec() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("TIDEGATE_FUZZ_SEED").unwrap_or(20_261_123);
    let inputs = number("TIDEGATE_FUZZ_INPUTS").unwrap_or(INPUTS);
    println!("TIDEGATE_FUZZ_SEED={seed} TIDEGATE_FUZZ_INPUTS={inputs}");
    let mut random = [0; 32];
    random[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &random);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..inputs.div_ceil(MUTANTS_OF_EACH) {
        let original = input(&mut runner);
        fuzz_codec(&original);
        for _ in 0..MUTANTS_OF_EACH {
            let mut mutant = original.clone();
            for _ in 0..=runner.rng().next_u32() % 4 {
                mutate(&mut mutant, runner.rng());
            }
            fuzz_codec(&mutant);
        }
    }
}

/// The packets of a conversation, with a first byte that puts the fuzz target into its situation.
fn input(runner: &mut TestRunner) -> Vec<u8> {
    let (version, side, packets) = conversation().new_tree(runner).unwrap().current();
    let situation = match (side, version) {
        (Side::Client, _) => 0b011,
        (Side::Server, V3_1) => 0b000,
        (Side::Server, V3_1_1) => 0b001,
        (Side::Server, _) => 0b010,
    };
    let pieces = (runner.rng().next_u32() % 32) as u8;
    let mut wire = BytesMut::from(&[pieces << 3 | situation][..]);
    for packet in &packets {
        encode(version, packet, &mut wire).unwrap();
    }
    wire.to_vec()
}

pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut TestRng) {
    if bytes.len() < 2 {
        return;
    }
    let mut below = |bound: usize| (random.next_u64() % bound as u64) as usize;
    let at = 1 + below(bytes.len() - 1);
    match below(8) {
        0 | 1 => bytes[at] ^= 1 << below(8),
        2 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][below(5)],
        3 => bytes[at] = below(256) as u8,
        4 => bytes[at] = bytes[at].wrapping_add(1),
        5 => bytes.insert(at, below(256) as u8),
        6 => drop(bytes.remove(at)),
        _ => bytes.truncate(at),
    }
}
