//! Memory that forks share again.

use std::sync::{Mutex, PoisonError};

use o_core::originals::Originals;
use pyo3::prelude::*;

use crate::errors;

static KEPT: Mutex<Option<Originals>> = Mutex::new(None);

/// Keeps what this process' memory says now, for the forks from here on.
#[pyfunction]
pub fn keep_originals(_py: Python<'_>) -> PyResult<()> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = None; // those before are those of other mappings, from the first that is replaced
    *kept = Some(Originals::keep().map_err(errors::os)?);
    Ok(())
}

/// Gives back the pages that say what they said then.
#[pyfunction]
pub fn share_again(_py: Python<'_>) {
    if let Some(kept) = &*KEPT.lock().unwrap_or_else(PoisonError::into_inner) {
        kept.share_again();
    }
}
