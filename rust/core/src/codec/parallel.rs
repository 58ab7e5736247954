//! Jobs on all cores: threads that live for one call, so that a process stays single-threaded between two calls (a
//! nursery forks).

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::CodecError;

/// More threads than this bring nothing: the digest of a whole file is one chain.
const MOST_THREADS: usize = 4;

/// How many threads a call may use, its own included.
pub fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_THREADS)
}

/// Does all jobs, taken in order, on so many threads; each has a tool of its own. Stops at the first error and returns
/// it.
///
/// Where a thread cannot be started, the others do its work.
pub fn run<J, T, W>(
    jobs: Vec<J>,
    threads: usize,
    tool: impl Fn() -> T + Sync,
    work: W,
) -> Result<(), CodecError>
where
    J: Send,
    W: Fn(&mut T, J) -> Result<(), CodecError> + Sync,
{
    let helpers = threads.min(jobs.len()).saturating_sub(1);
    let queue = Mutex::new(jobs.into_iter());
    let failure: Mutex<Option<CodecError>> = Mutex::new(None);
    let worker = || {
        let mut tool = tool();
        loop {
            let job = lock(&queue).next();
            let Some(job) = job else { return };
            if let Err(error) = work(&mut tool, job) {
                lock(&queue).by_ref().for_each(drop);
                lock(&failure).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    let found = lock(&failure).take();
    found.map_or(Ok(()), Err)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
