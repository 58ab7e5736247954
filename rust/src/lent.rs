//! Arrays of an index lent to Python without a copy.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::vectors::VectorIndex;

/// How many arrays of an index are lent out; while there are any it may not change.
#[derive(Default)]
pub struct Loans(AtomicUsize);

impl Loans {
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// An array of an index, read-only, for `numpy.asarray`.
#[pyclass(frozen, module = "o_tui._native")]
pub struct VectorArray {
    index: Py<VectorIndex>,
    start: usize,
    shape: Vec<usize>,
    /// What an item is, in the words of numpy.
    item: &'static str,
}

impl VectorArray {
    /// The rows, two-dimensional, or the ids.
    pub fn lend(index: Bound<'_, VectorIndex>, ids: bool) -> Self {
        let it = index.get();
        // The loan is noted under the lock, so that no change can come between.
        let held = it.index.read(index.py());
        it.loans.0.fetch_add(1, Ordering::AcqRel);
        let rows = held.len();
        let (start, shape, item) = match ids {
            true => (held.ids().as_ptr().expose_provenance(), vec![rows], "<u8"),
            false => (
                held.rows().as_ptr().expose_provenance(),
                vec![rows, held.dimensions()],
                "<f4",
            ),
        };
        drop(held);
        VectorArray {
            index: index.unbind(),
            start,
            shape,
            item,
        }
    }
}

impl Drop for VectorArray {
    fn drop(&mut self) {
        self.index.get().loans.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[pymethods]
impl VectorArray {
    fn __len__(&self) -> usize {
        self.shape[0]
    }

    /// Where the array lies, by numpy's protocol; an array that is made of it keeps this object.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let read_only = true;
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("data", (self.start, read_only))?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        interface.set_item("typestr", self.item)?;
        Ok(interface)
    }
}
