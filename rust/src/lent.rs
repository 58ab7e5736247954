//! Arrays of an index lent to Python without a copy: the one place of the border that needs unsafe code, because the
//! buffer protocol hands out pointers.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::vectors::VectorIndex;

/// How many arrays of an index are lent out; while there are any it may not change.
#[derive(Default)]
pub struct Loans(AtomicUsize);

impl Loans {
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// An array of an index, read-only, for whoever speaks the buffer protocol.
#[pyclass(frozen, module = "o_tui._native")]
pub struct VectorArray {
    index: Py<VectorIndex>,
    start: usize,
    shape: [isize; 2],
    strides: [isize; 2],
    dimensions: c_int,
    format: &'static CStr,
}

impl VectorArray {
    /// The rows, two-dimensional, or the ids.
    pub fn lend(index: Bound<'_, VectorIndex>, ids: bool) -> Self {
        let it = index.get();
        // The loan is noted under the lock, so that no change can come between.
        let held = it.read();
        it.loans.0.fetch_add(1, Ordering::AcqRel);
        let (rows, size) = (held.len() as isize, held.dimensions() as isize);
        let (start, shape, strides) = match ids {
            true => (held.ids().as_ptr() as usize, [rows, 1], [8, 8]),
            false => (held.rows().as_ptr() as usize, [rows, size], [4 * size, 4]),
        };
        drop(held);
        VectorArray {
            index: index.unbind(),
            start,
            shape,
            strides,
            dimensions: if ids { 1 } else { 2 },
            format: if ids { c"<Q" } else { c"<f" },
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
        self.shape[0].unsigned_abs()
    }

    /// # Safety
    /// Python calls it with a `Py_buffer` to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if flags & ffi::PyBUF_WRITABLE != 0 {
            return Err(PyBufferError::new_err("the vectors are read-only"));
        }
        let it = slf.get();
        let width = it.strides[1];
        let filled = ffi::Py_buffer {
            buf: it.start as *mut _,
            len: width * it.shape[0] * it.shape[1],
            itemsize: width,
            readonly: 1,
            ndim: it.dimensions,
            format: it.format.as_ptr().cast_mut(),
            shape: it.shape.as_ptr().cast_mut(),
            strides: it.strides.as_ptr().cast_mut(),
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
            obj: slf.clone().into_ptr(),
        };
        // SAFETY: Python gives a place for one `Py_buffer`. What it points to stays: the array's owner is kept by `obj`, and
        // does not change while the loan is noted.
        unsafe { view.write(filled) };
        Ok(())
    }
}
