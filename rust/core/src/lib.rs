//! What O computes natively. Nothing here knows of Python.

pub mod frame;
pub mod text;
