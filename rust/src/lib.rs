//! The module `o_tui._native`: registers what `o-core` offers, converts arguments and errors, nothing else.

#![forbid(unsafe_code)]

mod bytes;
mod codec;
mod errors;
mod frame;
mod gil;
mod holes;
mod lent;
mod memory;
mod originals;
mod process;
mod sandbox;
mod shared;
mod text;
mod vectors;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("EMBEDDER", o_core::vectors::EMBEDDER)?;
    module.add_function(wrap_pyfunction!(frame::check_frame, module)?)?;
    module.add_function(wrap_pyfunction!(codec::pack, module)?)?;
    module.add_function(wrap_pyfunction!(codec::fingerprint, module)?)?;
    module.add_function(wrap_pyfunction!(codec::delta, module)?)?;
    module.add_function(wrap_pyfunction!(codec::file_sha256, module)?)?;
    module.add_function(wrap_pyfunction!(codec::train_dictionary, module)?)?;
    module.add_class::<codec::Body>()?;
    module.add_class::<codec::Dictionary>()?;
    module.add_function(wrap_pyfunction!(text::safe_text, module)?)?;
    module.add_function(wrap_pyfunction!(text::hidden, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::embed, module)?)?;
    module.add_class::<memory::MemoryIndex>()?;
    module.add_class::<vectors::VectorIndex>()?;
    module.add_class::<shared::SharedCounters>()?;
    module.add_class::<shared::SharedReader>()?;
    module.add_class::<shared::SharedReading>()?;
    module.add_class::<lent::VectorArray>()?;
    module.add_function(wrap_pyfunction!(process::set_parent_death_signal, module)?)?;
    module.add_function(wrap_pyfunction!(process::adopt_orphans, module)?)?;
    module.add_function(wrap_pyfunction!(holes::fill_holes, module)?)?;
    module.add_function(wrap_pyfunction!(originals::keep_originals, module)?)?;
    module.add_function(wrap_pyfunction!(originals::share_again, module)?)?;
    module.add_function(wrap_pyfunction!(process::give_back_memory, module)?)?;
    module.add_function(wrap_pyfunction!(process::set_small_pages, module)?)?;
    module.add_function(wrap_pyfunction!(process::set_short_turns, module)?)?;
    module.add_function(wrap_pyfunction!(process::process_rss_pss, module)?)?;
    module.add_function(wrap_pyfunction!(process::process_rss, module)?)?;
    module.add_function(wrap_pyfunction!(process::process_cpu_ns, module)?)?;
    module.add_function(wrap_pyfunction!(sandbox::confine, module)?)?;
    module.add_function(wrap_pyfunction!(sandbox::probe, module)?)?;
    module.add_class::<sandbox::ViolationRing>()?;
    module.add(
        "ConfinementError",
        module.py().get_type::<sandbox::ConfinementError>(),
    )?;
    Ok(())
}
