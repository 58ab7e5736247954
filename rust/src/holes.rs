//! Holes of Python's memory filled.

use o_core::holes::{self, Piece};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors;

/// What is larger comes from malloc.
const LARGEST_BYTES: usize = 512;
const STEP_BYTES: usize = 16;
/// What a `bytes` object takes beside its bytes.
const BYTES_EXTRA: usize = 33;
/// An integer of two digits.
const LONG_INTEGER: u64 = 1 << 40;

/// An object that takes a whole piece of memory.
struct Object<'py>(Bound<'py, PyAny>);

impl<'py> Object<'py> {
    /// One of `size` bytes, which the collector of garbage puts nothing before; None: there is no memory.
    fn of(py: Python<'py>, size: usize) -> Option<Self> {
        let made = match size.checked_sub(BYTES_EXTRA) {
            Some(bytes) => PyBytes::new_with(py, bytes, |_| Ok(())).map(Bound::into_any),
            None if size == STEP_BYTES => py.get_type::<PyAny>().call0(),
            None => LONG_INTEGER.into_bound_py_any(py),
        };
        made.ok().map(Object)
    }
}

impl Piece for Object<'_> {
    fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

/// Uses up the free pieces between what is in use.
#[pyfunction]
pub fn fill_holes(py: Python<'_>) -> PyResult<()> {
    let sizes = (STEP_BYTES..=LARGEST_BYTES).rev().step_by(STEP_BYTES);
    holes::fill_mapped(|size| Object::of(py, size), sizes).map_err(errors::os)?;
    holes::fill_heap();
    Ok(())
}
