//! The broker: consumer and provider pipelines, signing, logging, timestamping.
