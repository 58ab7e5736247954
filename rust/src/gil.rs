//! The GIL: let go of while something takes long, or has to be waited for.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::prelude::*;
use pyo3::sync::RwLockExt;

/// Does the work, without the GIL where it may take `long`: more than about 50 us.
///
/// To give the GIL away for less would cost more than it gives: to get it back can take a thread milliseconds.
pub fn away_if<T: Send>(py: Python<'_>, long: bool, work: impl FnOnce() -> T + Send) -> T {
    match long {
        true => py.detach(work),
        false => work(),
    }
}

/// What several threads use. Who comes while another one changes it waits, and gets no exception.
///
/// All wait without the GIL, so a guard may be kept while the GIL is waited for. Who needs two of these takes those of
/// vectors first.
#[derive(Default)]
pub struct Shared<T>(RwLock<T>);

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        Shared(RwLock::new(value))
    }

    pub fn read(&self, py: Python<'_>) -> RwLockReadGuard<'_, T> {
        let value = self.0.read_py_attached(py);
        value.unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, py: Python<'_>) -> RwLockWriteGuard<'_, T> {
        let value = self.0.write_py_attached(py);
        value.unwrap_or_else(PoisonError::into_inner)
    }
}
