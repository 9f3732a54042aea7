//! The async face of the message log: what goes in is evidence, what comes out is durable.

use kogge_message_log::{AppendError, Durability, MessageLog, NewMessage, Receipt};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::exchange::sealed::Sealed;

/// Appends evidence to this server's message log.
#[derive(Clone)]
pub struct Logging {
    log: MessageLog,
}

/// A stage that carries evidence: `Signed<Routed>` and `Verified` of the consumer, `Authorised` and `Signed<Answer>` of the provider.
pub trait Evident: Sealed {
    /// The record that it becomes.
    fn record(&self) -> NewMessage;
}

/// A stage whose evidence is durable: power loss cannot take it back. Only [`Logging::append`] makes one.
#[derive(Debug)]
pub struct Logged<T> {
    stage: T,
    receipt: Receipt,
}

/// Why evidence is not known to be durable. The exchange must not go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoggingError {
    /// The log refuses.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The disk takes too long. The record may become durable later: evidence of a message that went no further.
    #[error("the message log did not acknowledge the record in time")]
    Timeout,
}

impl Logging {
    /// Into this log.
    pub(crate) fn new(log: MessageLog) -> Self {
        Self { log }
    }

    /// Appends the evidence and waits until it is durable. Dropped while it waits, the record is still appended: an exchange that
    /// ends here leaves a record without an effect, never an effect without a record.
    ///
    /// # Errors
    /// The log refuses, or does not acknowledge before `deadline`.
    pub async fn append<T: Evident>(&self, stage: T, deadline: Instant) -> Result<Logged<T>, LoggingError> {
        let (acknowledge, acknowledged) = oneshot::channel();
        let record = stage.record();
        // The receiver is gone only if this future was dropped; then nobody asks for the receipt.
        self.log.append(record, Durability::Now, Box::new(move |result| drop(acknowledge.send(result))));
        let acknowledged = timeout_at(deadline, acknowledged).await.map_err(|_| LoggingError::Timeout)?;
        let receipt = acknowledged.map_err(|_| AppendError::Closed)??;
        Ok(Logged { stage, receipt })
    }
}

impl<T> Logged<T> {
    /// What was logged.
    #[must_use]
    pub fn stage(&self) -> &T {
        &self.stage
    }

    /// Where its record stands.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }
}
