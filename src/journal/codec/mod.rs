//! Values as bytes and back: the entries that a commit is made of.
//!
//! Numbers that are small mostly are varints (seven bits a byte, lowest first), signed ones zigzag before that;
//! texts and bytes have their length before them. Decoding checks everything: bytes that no encoder writes give
//! [`Malformed`], never a panic. Knows nothing of commits, segments and disks.

mod entry;
mod message;
mod record;
mod wire;

#[cfg(test)]
mod tests;

pub(super) use entry::{
    ChunkNote, Cursor, Entry, KeptHead, OwedNote, SegmentNote, entry_length, kept_body, put_moved, put_note,
    put_record_entry, read_entry, read_kept, read_kept_head,
};
pub(super) use wire::{Malformed, Put, Reader};
