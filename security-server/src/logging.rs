//! The async face of the message log: what goes in is evidence, what comes out is on record.
//!
//! A request may have its effect ([`OnRecord`]) once its record is durable ([`Logged`]), or, where its method changes nothing ([`Safe`]),
//! once the record is written ([`Noted`]). Whatever comes back is handed over only once the response's record is durable; that record
//! *follows* the request's, so the request's is durable then too, or the log has refused the response.

use std::sync::Arc;

use kogge_message_log::{AppendError, Durability, MessageLog, NewMessage, Receipt};
use kogge_proto::digest::Sha256;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::exchange::sealed::Sealed;
use crate::metrics::{Stage, Watches};
use crate::trust::Leaves;

/// Appends evidence to this server's message log.
#[derive(Clone)]
pub struct Logging {
    log: MessageLog,
    leaves: Arc<Leaves>,
    watches: Watches,
}

/// A stage that carries evidence: `Signed<Routed>` and `Verified` of the consumer, `Authorised` and `Signed<Answer>` of the provider.
pub trait Evident: Sealed {
    /// The record that it becomes.
    fn record(&self) -> NewMessage;
    /// The record's leaf in a batch's hash tree.
    fn leaf(&self) -> Sha256;
}

/// A stage that is evidence of a request: something happens because of it.
pub trait Request: Evident + Sized {
    /// The HTTP method.
    fn method(&self) -> &str;
}

/// A request that changes nothing where it arrives. Only [`Effect::of`] makes one.
#[derive(Debug)]
pub struct Safe<T>(T);

/// What a request may do.
#[derive(Debug)]
pub enum Effect<T> {
    /// Its method is safe.
    None(Safe<T>),
    /// Anything.
    Any(T),
}

/// A stage whose evidence is written: the end of this process cannot take it back, power loss can. Only [`Logging::note`] makes one.
#[derive(Debug)]
pub struct Noted<T> {
    stage: T,
    receipt: Receipt,
}

/// A stage whose evidence is durable: power loss cannot take it back. Only [`Logging::append`] makes one.
#[derive(Debug)]
pub struct Logged<T> {
    stage: T,
    receipt: Receipt,
}

/// A request whose evidence is as durable as its method demands: this, and nothing else, leaves the consumer's server or reaches the
/// register. Made from [`Logged`], or from [`Noted`] of a [`Safe`] one.
#[derive(Debug)]
pub struct OnRecord<T> {
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
    pub(crate) fn new(log: MessageLog, leaves: Arc<Leaves>, watches: Watches) -> Self {
        Self { log, leaves, watches }
    }

    /// Appends a request's evidence and waits for as long as its method demands.
    ///
    /// # Errors
    /// As [`Logging::append`].
    pub async fn record<T: Request>(
        &self,
        request: T,
        deadline: Instant,
    ) -> Result<OnRecord<T>, LoggingError> {
        match Effect::of(request) {
            Effect::None(request) => Ok(self.note(request, deadline).await?.into()),
            Effect::Any(request) => Ok(self.append(request, deadline).await?.into()),
        }
    }

    /// Appends the evidence and waits until it is durable. Dropped while it waits, the record is still appended: an exchange that
    /// ends here leaves a record without an effect, never an effect without a record.
    ///
    /// # Errors
    /// The log refuses, or does not acknowledge before `deadline`.
    pub async fn append<T: Evident>(&self, stage: T, deadline: Instant) -> Result<Logged<T>, LoggingError> {
        let receipt = self.receipt(&stage, Durability::Now, deadline).await?;
        Ok(Logged { stage, receipt })
    }

    /// Appends the evidence of a request that changes nothing, and waits until it is written. It becomes durable with the next record
    /// that is appended as durable, or within [`kogge_message_log::SYNC_WITHIN`].
    ///
    /// # Errors
    /// As [`Logging::append`].
    pub async fn note<T: Request>(
        &self,
        request: Safe<T>,
        deadline: Instant,
    ) -> Result<Noted<Safe<T>>, LoggingError> {
        let receipt = self.receipt(&request.0, Durability::WithNext, deadline).await?;
        Ok(Noted { stage: request, receipt })
    }

    async fn receipt<T: Evident>(
        &self,
        stage: &T,
        durability: Durability,
        deadline: Instant,
    ) -> Result<Receipt, LoggingError> {
        let mut watch = self.watches.start();
        let (acknowledge, acknowledged) = oneshot::channel();
        // The receiver is gone only if this future was dropped; then nobody asks for the receipt.
        let told = Box::new(move |result| drop(acknowledge.send(result)));
        if let Some(sync) = self.log.append_before_sync(stage.record(), durability, told) {
            // Exchanges that are ready to append, or nearly, do so first, and share the sync.
            for _ in 0..ROUNDS_BEFORE_SYNC {
                yield_now().await;
            }
            drop(sync);
        }
        watch.ended(Stage::Append);
        let acknowledged = timeout_at(deadline, acknowledged).await.map_err(|_| LoggingError::Timeout)?;
        watch.ended(Stage::Wait);
        let receipt = acknowledged.map_err(|_| AppendError::Closed)??;
        self.leaves.note(receipt.sequence, stage.leaf());
        Ok(receipt)
    }
}

/// So often others may run before a sync is asked for. On an idle server nobody wants to, and they take a few microseconds; on a busy one
/// four rounds save a fifth of the syncs that one round leaves, and more save no more.
const ROUNDS_BEFORE_SYNC: usize = 4;

impl<T: Request> Effect<T> {
    /// Judges by the method. OPTIONS and TRACE, which RFC 9110 section 9.2.1 calls safe too, are not asked of registers often enough to
    /// be worth a promise.
    #[must_use]
    pub fn of(request: T) -> Self {
        match request.method() {
            "GET" | "HEAD" => Self::None(Safe(request)),
            _ => Self::Any(request),
        }
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

impl<T> OnRecord<T> {
    /// The request.
    #[must_use]
    pub fn stage(&self) -> &T {
        &self.stage
    }

    /// Where its record stands: what the response's record follows.
    pub(crate) fn receipt(&self) -> Receipt {
        self.receipt
    }
}

impl<T: Request> From<Logged<T>> for OnRecord<T> {
    fn from(Logged { stage, receipt }: Logged<T>) -> Self {
        Self { stage, receipt }
    }
}

impl<T: Request> From<Noted<Safe<T>>> for OnRecord<T> {
    fn from(Noted { stage: Safe(stage), receipt }: Noted<Safe<T>>) -> Self {
        Self { stage, receipt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Asks(&'static str);

    impl Sealed for Asks {}

    impl Evident for Asks {
        fn record(&self) -> NewMessage {
            unreachable!("only the method is asked for")
        }

        fn leaf(&self) -> Sha256 {
            unreachable!("only the method is asked for")
        }
    }

    impl Request for Asks {
        fn method(&self) -> &str {
            self.0
        }
    }

    #[test]
    fn only_what_changes_nothing_is_safe() {
        for method in ["GET", "HEAD"] {
            assert!(matches!(Effect::of(Asks(method)), Effect::None(Safe(Asks(_)))), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "GET ", ""] {
            assert!(matches!(Effect::of(Asks(method)), Effect::Any(Asks(_))), "{method}");
        }
    }
}
