//! The module `o_tui._native`: registers what `o-core` offers, converts arguments and errors, nothing else.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Checks that `payload` is one MessagePack value nested at most `depth` deep.
///
/// Raises ValueError with the reason where it is not.
#[pyfunction]
#[pyo3(signature = (payload, depth=32))]
fn check_frame(payload: &[u8], depth: usize) -> PyResult<()> {
    o_core::frame::check(payload, depth).map_err(|refusal| PyValueError::new_err(refusal.text()))
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(check_frame, module)?)?;
    Ok(())
}
