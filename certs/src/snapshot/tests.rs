//! Snapshots as a registry makes them, as time and rollback spoil them, and as an attacker would like them.

mod altered;
mod content;
mod fixture;
mod freshness;
mod reading;
mod signatures;
mod straightforward;
