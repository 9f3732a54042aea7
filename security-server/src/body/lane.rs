//! One kind of work on a body's bytes, done in order and beside everything else.
//!
//! A lane has a thread only while there is a batch to work on, so that a body that arrives slowly, or stands still, costs none.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::BodyError;

/// Pieces of a body that follow each other.
pub(super) type Batch = Vec<Bytes>;

/// What is done with batches. Runs on a blocking thread.
pub(super) trait Work: Send + 'static {
    /// Takes the next batch.
    fn take(&mut self, batch: &[Bytes]) -> io::Result<()>;
}

/// Batches on their way through one kind of work.
pub(super) struct Lane<W> {
    queue: Arc<Queue<W>>,
    room: Arc<Semaphore>,
}

struct Queue<W>(Mutex<State<W>>);

struct State<W> {
    waiting: VecDeque<(Batch, OwnedSemaphorePermit)>,
    /// Not there while a thread works.
    idle: Option<W>,
    failure: Option<io::Error>,
}

impl<W: Work> Lane<W> {
    pub(super) fn new(work: W) -> Self {
        let state = State { waiting: VecDeque::new(), idle: Some(work), failure: None };
        Self { queue: Arc::new(Queue(Mutex::new(state))), room: Arc::new(Semaphore::new(BATCHES_MAX)) }
    }

    /// Queues a batch, once there is room for it.
    ///
    /// # Errors
    /// The work failed on a batch before this one. The failure is told once.
    pub(super) async fn push(&self, batch: Batch) -> Result<(), BodyError> {
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| BodyError::ShuttingDown)?;
        let mut state = self.queue.lock();
        if let Some(failure) = state.failure.take() {
            return Err(failure.into());
        }
        state.waiting.push_back((batch, place));
        if let Some(work) = state.idle.take() {
            let queue = Arc::clone(&self.queue);
            spawn_blocking(move || queue.run(work));
        }
        Ok(())
    }

    /// Waits until all batches are worked on, and gives back who worked.
    ///
    /// # Errors
    /// The work failed.
    pub(super) async fn finish(self) -> Result<W, BodyError> {
        let all = u32::try_from(BATCHES_MAX).unwrap_or(u32::MAX);
        let _quiet = self.room.acquire_many(all).await.map_err(|_| BodyError::ShuttingDown)?;
        let mut state = self.queue.lock();
        match state.failure.take() {
            Some(failure) => Err(failure.into()),
            // Only a panic in the work or the end of the runtime takes it away for good.
            None => state.idle.take().ok_or(BodyError::ShuttingDown),
        }
    }
}

impl<W: Work> Queue<W> {
    /// Works until nothing is waiting.
    fn run(&self, mut work: W) {
        loop {
            let next = {
                let mut state = self.lock();
                match state.waiting.pop_front() {
                    Some(next) => next,
                    None => {
                        state.idle = Some(work);
                        return;
                    }
                }
            };
            let (batch, place) = next;
            let result = work.take(&batch);
            drop(batch);
            let mut state = self.lock();
            if let Err(error) = result {
                // What follows a failed batch is of no use. Dropping it makes room, so that whoever waits hears of the failure.
                state.failure = Some(error);
                state.waiting.clear();
            }
            if state.waiting.is_empty() {
                state.idle = Some(work);
                drop(state);
                drop(place);
                return;
            }
            drop(state);
            drop(place);
        }
    }
}

impl<W> Queue<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batches that may wait or be worked on: one at work, and one ready for the moment when it is done. Each is held in memory.
pub(super) const BATCHES_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what it was given; fails on an empty piece.
    #[derive(Default)]
    struct Remember(Vec<u8>);

    impl Work for Remember {
        fn take(&mut self, batch: &[Bytes]) -> io::Result<()> {
            for piece in batch {
                if piece.is_empty() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.extend_from_slice(piece);
            }
            Ok(())
        }
    }

    fn batch(number: u8) -> Batch {
        vec![Bytes::from(vec![number])]
    }

    #[tokio::test]
    async fn batches_are_worked_on_in_order() {
        let lane = Lane::new(Remember::default());
        for number in 0..200 {
            lane.push(batch(number)).await.unwrap();
        }
        assert_eq!(lane.finish().await.unwrap().0, (0..200).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn a_failure_ends_the_lane_and_blocks_nobody() {
        let full = |error: &BodyError| matches!(error, BodyError::Spool(error) if error.kind() == io::ErrorKind::StorageFull);
        let lane = Lane::new(Remember::default());
        lane.push(vec![Bytes::new()]).await.unwrap();
        let mut pushed = Ok(());
        for number in 0..=BATCHES_MAX {
            pushed = lane.push(batch(number as u8)).await;
            if pushed.is_err() {
                break;
            }
        }
        assert!(full(&pushed.unwrap_err()));

        let lane = Lane::new(Remember::default());
        lane.push(vec![Bytes::new()]).await.unwrap();
        assert!(full(&lane.finish().await.map(|_| ()).unwrap_err()));
    }

    #[tokio::test]
    async fn no_more_than_the_agreed_batches_are_held() {
        struct Blocked(std::sync::mpsc::Receiver<()>);
        impl Work for Blocked {
            fn take(&mut self, _: &[Bytes]) -> io::Result<()> {
                self.0.recv().map_err(io::Error::other)
            }
        }
        let (go_on, blocked) = std::sync::mpsc::channel();
        let lane = Lane::new(Blocked(blocked));
        for number in 0..BATCHES_MAX {
            lane.push(batch(number as u8)).await.unwrap();
        }
        {
            let one_more = lane.push(batch(9));
            tokio::pin!(one_more);
            assert!(futures_util::poll!(&mut one_more).is_pending());
            go_on.send(()).unwrap();
            one_more.await.unwrap();
        }
        (0..BATCHES_MAX).for_each(|_| go_on.send(()).unwrap());
        lane.finish().await.unwrap();
    }
}
