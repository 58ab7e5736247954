//! Confinement: a process gives up for good what it does not need.

pub mod calls;
