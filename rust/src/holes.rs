//! Holes of Python's memory filled: the interpreter's allocator is called, which needs unsafe code.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::NonNull;

use o_core::holes::{self, Allocator};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors;

/// What is larger comes from malloc.
const LARGEST_BYTES: usize = 512;
const STEP_BYTES: usize = 16;

/// The allocator of small objects; whoever has one holds the GIL.
struct Objects;

impl Allocator for Objects {
    fn take(&self, size: usize) -> Option<NonNull<c_void>> {
        // SAFETY: the GIL is held; null is seen.
        NonNull::new(unsafe { ffi::PyObject_Malloc(size) })
    }

    fn give_back(&self, taken: NonNull<c_void>) {
        // SAFETY: the GIL is held; it came from this allocator, is not used any more, and is freed once.
        unsafe { ffi::PyObject_Free(taken.as_ptr()) };
    }
}

/// Uses up the free pieces between what is in use.
#[pyfunction]
pub fn fill_holes(_py: Python<'_>) -> PyResult<()> {
    let sizes = (STEP_BYTES..=LARGEST_BYTES).rev().step_by(STEP_BYTES);
    holes::fill_mapped(&Objects, sizes).map_err(errors::os)?;
    holes::fill_heap();
    Ok(())
}
