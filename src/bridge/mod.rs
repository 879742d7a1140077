//! The bridge to a cloud broker as a pure machine: what to load, what to send, what is done.
//!
//! Never touches a socket, a clock, a file, a task or a log; `crate::uplink` drives it.
