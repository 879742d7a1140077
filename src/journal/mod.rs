//! The journal: what was accepted, on disk, in order, until everybody who is owed it has it.
//!
//! Pure but for the [`Disk`] it is given: no clock, no task, no log.
