//! Frames: the check before anything decodes them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Checks that `payload` is one MessagePack value nested at most `depth` deep.
///
/// Raises ValueError with the reason where it is not.
#[pyfunction]
#[pyo3(signature = (payload, depth=32))]
pub fn check_frame(payload: &[u8], depth: usize) -> PyResult<()> {
    o_core::frame::check(payload, depth).map_err(|refusal| PyValueError::new_err(refusal.text()))
}
