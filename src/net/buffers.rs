//! Buffers that belong to a thread, not to a connection: an idle connection holds none.
//!
//! Reading goes through one scratch per thread and is then copied in exact size, so that a small message that is
//! kept does not keep a large buffer alive. Writing borrows a buffer for as long as something is unsent.

use std::cell::RefCell;

use super::outbox::Outgoing;
use super::writer::Unsent;
use crate::limits::READ_BUFFER_BYTES;

/// Write buffers kept by a thread.
const SPARE_BUFFERS: usize = 4;
/// A new write buffer; a larger one than four times this is not kept.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// A vector for hand-over with more room than this is not kept...
const LARGEST_ROOM: usize = 1024;
/// ...and of the smaller ones only as many as have this much room together.
const SPARE_ROOM: usize = 8 * 1024;

/// In boxes: a connection that has none holds eight bytes.
type Spare = Vec<Box<Unsent>>;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
    static SPARE: RefCell<Spare> = const { RefCell::new(Vec::new()) };
    static ROOMS: RefCell<Rooms> = const { RefCell::new(Rooms { spare: Vec::new(), together: 0 }) };
}

/// Empty vectors with room.
struct Rooms {
    spare: Vec<Vec<Outgoing>>,
    together: usize,
}

/// Lends this thread's scratch for reading.
pub(super) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| read(scratch))
}

/// An empty buffer for writing.
pub(super) fn borrow() -> Box<Unsent> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| Box::new(Unsent::with_room(WRITE_BUFFER_BYTES)))
}

/// Takes an empty buffer back.
pub(super) fn give_back(mut unsent: Box<Unsent>) {
    // What was advanced past is won back when nobody else holds a part of it.
    let whole = unsent.tail.try_reclaim(WRITE_BUFFER_BYTES);
    if !whole || unsent.tail.capacity() > 4 * WRITE_BUFFER_BYTES {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_BUFFERS {
            spare.push(unsent);
        }
    });
}

/// An empty vector for what is handed over to a connection.
pub(super) fn borrow_room() -> Vec<Outgoing> {
    ROOMS.with_borrow_mut(|rooms| {
        let room = rooms.spare.pop().unwrap_or_default();
        rooms.together -= room.capacity();
        room
    })
}

/// Takes an empty vector back.
pub(super) fn give_back_room(room: Vec<Outgoing>) {
    debug_assert!(room.is_empty(), "what it held is dealt with");
    let capacity = room.capacity();
    if capacity == 0 || capacity > LARGEST_ROOM {
        return;
    }
    ROOMS.with_borrow_mut(|rooms| {
        if rooms.together + capacity <= SPARE_ROOM {
            rooms.together += capacity;
            rooms.spare.push(room);
        }
    });
}
