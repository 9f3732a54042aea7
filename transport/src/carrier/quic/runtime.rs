//! quinn on tokio as its own `TokioRuntime` has it, at fewer system calls for each packet.

mod beside;
mod socket;
mod timer;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};

pub(crate) use self::beside::{Begun, Beside};
use self::socket::Socket;
use self::timer::Timer;

/// What [`quinn::Endpoint`] is to run on. To be used inside a tokio runtime.
#[derive(Debug)]
pub(crate) struct FrugalRuntime;

/// What moves the packets of a connection or an endpoint.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

tokio::task_local! {
    /// Where a driver goes that shall not become a task of its own.
    static CAUGHT: RefCell<Option<Driver>>;
}

/// A connection's driver, for whoever works on the connection.
pub(crate) struct Undriven(Option<Driver>);

/// What `begin` gives, which begins a connection, and the driver of that.
pub(crate) fn undriven<T>(begin: impl FnOnce() -> T) -> (T, Undriven) {
    CAUGHT.sync_scope(RefCell::default(), || {
        let begun = begin();
        (begun, Undriven(CAUGHT.with(RefCell::take)))
    })
}

impl Undriven {
    /// Drives the connection beside `work`, and after it by itself.
    pub(crate) fn beside<W: Future>(self, work: impl FnOnce(Begun) -> W) -> Beside<W> {
        Beside::new(work, self.0)
    }
}

impl Runtime for FrugalRuntime {
    fn new_timer(&self, due: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer::new(due))
    }

    fn spawn(&self, driver: Driver) {
        let mut driver = Some(driver);
        // Fails if nobody wants it.
        let _ = CAUGHT.try_with(|caught| caught.replace(driver.take()));
        if let Some(driver) = driver {
            tokio::spawn(driver);
        }
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
