//! The broker's rules, one conversation each; see [`world`].

mod delivery;
mod world;
