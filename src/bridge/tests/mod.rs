//! Tests of the bridge against a scripted server and a journal in memory, in virtual time.

mod connection;
mod downlink;
mod forwarding;
mod lanes;
mod metered;
mod poison;
mod random;
mod resuming;
mod steering;
mod world;
