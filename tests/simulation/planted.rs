//! Bugs of a journal, planted into the bytes that go to its disk and come back from it.
//!
//! Knows the format from its description at the top of `src/journal`, not from its code.

use std::collections::BTreeSet;

const PAGE: usize = 4096;
const FRAME_HEADER: usize = 20;
const CHECKPOINT_END: u8 = 35;
const RETIRED: u8 = 37;

/// Checksums that do not begin with generation and place, and numbers that begin anew with each life of a file: a
/// commit of an earlier life counts when it stands where the next one would. (Without their seed alone nothing would
/// be lost: numbers are never given twice, which is a second lock on the same door. Both are open here.)
#[derive(Debug, Default)]
pub struct StaleCommits {
    generations: BTreeSet<u64>,
}

impl StaleCommits {
    pub fn written(&mut self, offset: u64, bytes: &[u8]) {
        if offset == 0 && bytes.starts_with(b"TIDEGATE") {
            self.generations.insert(number_at(bytes, 24));
        }
    }

    /// The file as such a journal would take it.
    pub fn passing(&self, content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        if !content.starts_with(b"TIDEGATE") {
            return content;
        }
        let generation = number_at(&content, 24);
        let mut commit = number_at(&content, 32);
        let mut offset = PAGE;
        while offset + PAGE < content.len() {
            if let Some(length) = frame_length(&content, offset, generation) {
                commit = number_at(&content, offset + 8) + 1;
                offset += length;
                continue;
            }
            let of_earlier_life =
                self.generations.iter().find_map(|other| frame_length(&content, offset, *other));
            let Some(length) = of_earlier_life else { return content };
            content[offset + 8..offset + 16].copy_from_slice(&commit.to_le_bytes());
            sign(&mut content, offset, generation);
            commit += 1;
            offset += length;
        }
        content
    }
}

/// Writes each checkpoint as it was the time before, where it fits.
#[derive(Debug, Default)]
pub struct Checkpoints {
    last: Vec<u8>,
}

impl Checkpoints {
    /// The start of a segment, with an earlier checkpoint in the place of its own.
    pub fn outdated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let is_checkpoint = bytes.len() > 2 * PAGE - 1 && bytes[PAGE + 16] == 1;
        if !bytes.starts_with(b"TIDEGATE") || !is_checkpoint {
            return out;
        }
        let start = PAGE + FRAME_HEADER;
        let Some(end) = checkpoint_end(bytes, start) else { return out };
        let own = bytes[start..end].to_vec();
        // The bytes in between are filled with notes that mean nothing, so that everything behind stays in its place.
        if let Some(filler) = own.len().checked_sub(self.last.len()).filter(|_| !self.last.is_empty())
            && let Some(filler) = notes_of(filler)
        {
            out[start..end].copy_from_slice(&[self.last.as_slice(), &filler].concat());
            let generation = number_at(&out, 24);
            sign(&mut out, PAGE, generation);
        }
        self.last = own;
        out
    }
}

/// Notes that segment 0, which there never is, was retired: so many bytes of them. A number may be written longer
/// than it needs to be.
fn notes_of(bytes: usize) -> Option<Vec<u8>> {
    if bytes == 0 {
        return Some(Vec::new());
    }
    let (notes, rest) = (bytes / 3, bytes % 3);
    let mut out = [2, RETIRED, 0].repeat(notes.checked_sub(1)?);
    let padding = vec![0x80; rest];
    out.extend([2 + rest as u8, RETIRED]);
    out.extend(padding);
    out.push(0);
    Some(out)
}

/// Where the entry that ends the checkpoint ends.
fn checkpoint_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let kind = *bytes.get(at)?;
        at += length;
        if kind == CHECKPOINT_END {
            return Some(at);
        }
    }
}

/// The padded length of the commit at `offset`, if there is one of this generation.
fn frame_length(content: &[u8], offset: usize, generation: u64) -> Option<usize> {
    let body = u32::from_le_bytes(content[offset + 4..offset + 8].try_into().unwrap()) as usize;
    let whole = FRAME_HEADER + body;
    let is_there = offset + whole <= content.len() - PAGE && body > 0;
    let found = u32::from_le_bytes(content[offset..offset + 4].try_into().unwrap());
    (is_there && found == checksum(content, offset, generation)).then(|| whole.next_multiple_of(PAGE))
}

fn sign(content: &mut [u8], offset: usize, generation: u64) {
    let crc = checksum(content, offset, generation);
    content[offset..offset + 4].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(content: &[u8], offset: usize, generation: u64) -> u32 {
    let body = u32::from_le_bytes(content[offset + 4..offset + 8].try_into().unwrap()) as usize;
    let seed = crc32c::crc32c(&generation.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &(offset as u64).to_le_bytes());
    crc32c::crc32c_append(seed, &content[offset + 4..offset + FRAME_HEADER + body])
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
