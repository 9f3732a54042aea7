//! The `kogge` binary from outside.

// Always so in a test crate; said for clippy, which allows `unwrap` only where it sees that it is in tests.
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bundle;
mod checkpoints;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod log;
#[cfg(test)]
mod log_deviations;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod renew;
#[cfg(test)]
mod token;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod verify_report;
#[cfg(test)]
mod verify_xroad;
#[cfg(test)]
mod world;
