//! What every daemon does: configuration, telemetry, HTTP plumbing, shutdown.
