//! Signatures and containers from outside: what a counterpart sends, and what judges that others wrote say about it.

// Always so in a test crate; said for clippy, which allows `unwrap` only where it sees that it is in tests.
#[cfg(test)]
mod altered;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod deviations;
#[cfg(test)]
mod eidas;
#[cfg(test)]
mod exported;
#[cfg(test)]
mod judges;
#[cfg(test)]
mod judges_xroad;
#[cfg(test)]
mod known;
#[cfg(test)]
mod renewals;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod world;
#[cfg(test)]
mod xroad;
