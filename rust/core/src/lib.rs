//! What O computes natively. Nothing here knows of Python.

pub mod codec;
pub mod frame;
pub mod holes;
pub mod memory;
pub mod originals;
pub mod process;
pub mod sandbox;
pub mod shared;
pub mod text;
pub mod turns;
pub mod vectors;
pub mod violations;
