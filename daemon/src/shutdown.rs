//! One signal that reaches every task: SIGINT or SIGTERM asks everything to come to an end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cheap to clone; all clones see the same signal.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Not asked yet, and only [`Shutdown::ask`] will.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asked by SIGINT or SIGTERM from now on. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Self::new();
        let asked = shutdown.clone();
        // Owned by the process: it ends with the first signal, or with the runtime.
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                () = asked.wait() => return,
            };
            tracing::info!(signal = name, "asked to stop");
            asked.ask();
        });
        Ok(shutdown)
    }

    /// Asks everything to come to an end.
    pub fn ask(&self) {
        self.0.cancel();
    }

    /// Whether it has been asked.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is asked.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_it() {
        let shutdown = Shutdown::new();
        let clone = shutdown.clone();
        assert!(!clone.asked());
        shutdown.ask();
        clone.wait().await;
        assert!(clone.asked());
    }

    #[tokio::test]
    async fn sigterm_asks() {
        let shutdown = Shutdown::on_signals().unwrap();
        assert!(!shutdown.asked());
        let sent =
            std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status();
        assert!(sent.unwrap().success());
        shutdown.wait().await;
    }
}
