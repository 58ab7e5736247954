//! Frames: the check before anything decodes them.

use o_core::frame::{self, Limits};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::gil;

/// From this size on the work may pass 50 us, and the GIL is released around it.
const LARGE_BYTES: usize = 16 * 1024;

/// Checks that `payload` is one MessagePack value nested at most `depth` deep, of at most `values` values.
///
/// Raises ValueError with the reason where it is not.
#[pyfunction]
#[pyo3(signature = (payload, depth=32, values=262_144))]
pub fn check_frame(py: Python<'_>, payload: &[u8], depth: usize, values: usize) -> PyResult<()> {
    let limits = Limits { depth, values };
    let large = payload.len() > LARGE_BYTES;
    let checked = gil::away_if(py, large, || frame::check(payload, limits));
    checked.map_err(|refusal| PyValueError::new_err(refusal.text()))
}
