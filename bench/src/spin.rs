//! Work of the lowest priority on each core, so that no core falls asleep during a run: waking an idle virtual core costs more than an exchange.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::account::cores;
use crate::child::Child;
use crate::floor::find;

/// One spinner per core, until dropped.
#[derive(Debug)]
pub struct Spinners(Vec<Child>);

impl Spinners {
    /// Starts them as `kogge bench spin`, with `chrt -i 0` (only when nobody else wants the core) or, where that is missing, `nice -n 19`.
    ///
    /// # Errors
    /// They do not start.
    pub fn start(kogge: &Path, dir: &Path) -> Result<Self, BenchError> {
        let idle = find("chrt").map(|program| (program, ["-i", "0"]));
        let (program, priority) = idle.unwrap_or_else(|| ("nice".into(), ["-n", "19"]));
        let spinner = |core: usize| {
            let args = priority.map(Into::into).into_iter().chain([kogge.as_os_str().to_owned()]);
            let args = args.chain(["bench".into(), "spin".into()]);
            Child::start(&program, args, &dir.join(format!("spin-{core}.log")))
        };
        Ok(Self((0..cores()).map(spinner).collect::<Result<_, _>>()?))
    }

    /// Halts them until [`Spinners::go_on`].
    pub(crate) fn halt(&self) -> Result<(), BenchError> {
        self.0.iter().try_for_each(|spinner| spinner.signal("-STOP"))
    }

    pub(crate) fn go_on(&self) -> Result<(), BenchError> {
        self.0.iter().try_for_each(|spinner| spinner.signal("-CONT"))
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Keeps a core busy until the process that started this one is gone.
pub fn spin() {
    let parent = std::os::unix::process::parent_id();
    let mut looked = Instant::now();
    loop {
        for number in 0..STEPS {
            std::hint::black_box(number);
        }
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            if std::os::unix::process::parent_id() != parent {
                return;
            }
        }
    }
}

/// Returns once the process that started this one is gone: nobody stops what a killed bench leaves behind.
pub(crate) async fn orphaned() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

const STEPS: u32 = 1_000_000;
const LOOK_EVERY: Duration = Duration::from_secs(1);
