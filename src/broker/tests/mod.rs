//! The broker's rules, one conversation each; see [`world`].

mod arrivals;
mod backlog;
mod chaos;
mod delivery;
mod durability;
mod endings;
mod expiry;
mod inside;
mod limits;
mod misbehaviour;
mod retained;
mod rights;
mod sharing;
mod subscribing;
mod trie;
mod world;
