//! The module `o_tui._native`: registers what `o-core` offers, converts arguments and errors, nothing else.

mod frame;
mod text;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(frame::check_frame, module)?)?;
    module.add_function(wrap_pyfunction!(text::safe_text, module)?)?;
    module.add_function(wrap_pyfunction!(text::hidden, module)?)?;
    Ok(())
}
