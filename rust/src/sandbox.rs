//! The sandbox, and what it has refused.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use o_core::sandbox::{self, Layer, Profile, Settings, listener, probe as probing, told, trap};
use o_core::violations::{Ring, Violation, syscall_name};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::errors;

pyo3::create_exception!(
    o_tui._native,
    ConfinementError,
    PyOSError,
    "The kernel refused what confinement cannot do without, or a layer does not hold: the process must end."
);

/// What confined processes were refused: a ring in shared memory.
#[pyclass(frozen, module = "o_tui._native")]
pub struct ViolationRing {
    pub ring: Ring,
}

pub type Row = (u64, &'static str, Cow<'static, str>, u16, String, u64);

/// `(number, layer, call, errno, path, time_ns)` of those with a number above `after`; a call that the table does not
/// have goes by its number.
pub fn rows(found: Vec<Violation>, after: u64) -> Vec<Row> {
    let arch = sandbox::calls::native();
    let name = |nr| match arch.map_or("?", |arch| syscall_name(arch, nr)) {
        "?" => Cow::Owned(format!("system call {nr}")),
        known => Cow::Borrowed(known),
    };
    let found = found.into_iter().filter(|v| v.number > after);
    found
        .map(|v| {
            (
                v.number,
                v.layer.name(),
                name(v.nr),
                v.errno,
                v.path,
                v.time_ns,
            )
        })
        .collect()
}

#[pymethods]
impl ViolationRing {
    #[new]
    fn new() -> PyResult<Self> {
        let ring = Ring::map().map_err(errors::os)?;
        Ok(ViolationRing { ring })
    }

    /// `(number, layer, call, errno, path, time_ns)`, oldest first.
    #[pyo3(signature = (after=0))]
    fn read(&self, after: u64) -> Vec<Row> {
        rows(self.ring.read(), after)
    }

    /// Takes one refused call from a listener and makes it fail.
    fn answer(&self, py: Python<'_>, listener: i32, tell: bool) -> PyResult<()> {
        let ring = tell.then_some(&self.ring);
        py.detach(|| listener::answer(listener, ring))
            .map_err(errors::os)
    }

    /// How many there have been, as the process says.
    #[getter]
    fn count(&self) -> u64 {
        self.ring.count()
    }
}

/// Confines this process for good; returns its tier.
#[pyfunction]
#[pyo3(signature = (
    profile, *, read=Vec::new(), write=Vec::new(), room_bytes=0, apart=false, files=Vec::new(), socket=None, listener=None, memory_bytes=0,
    cpu_s=0, concurrent=false, file_bytes=0, proxy_port=0, parent=0, death_signal=0, ring=None, layers=None,
))]
#[allow(clippy::too_many_arguments)] // by keyword, and plain data
pub fn confine(
    py: Python<'_>,
    profile: &str,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    room_bytes: u64,
    apart: bool,
    files: Vec<PathBuf>,
    socket: Option<i32>,
    listener: Option<i32>,
    memory_bytes: u64,
    cpu_s: u64,
    concurrent: bool,
    file_bytes: u64,
    proxy_port: u16,
    parent: i32,
    death_signal: i32,
    ring: Option<&Bound<'_, ViolationRing>>,
    layers: Option<Vec<String>>,
) -> PyResult<&'static str> {
    let unknown =
        |what: &str, name: &str| PyValueError::new_err(format!("no such {what}: {name:?}"));
    let layers = match layers {
        None => Layer::ALL.to_vec(),
        Some(names) => {
            let named = |name: &String| Layer::named(name).ok_or_else(|| unknown("layer", name));
            names.iter().map(named).collect::<PyResult<_>>()?
        }
    };
    let settings = Settings {
        profile: Profile::named(profile).ok_or_else(|| unknown("profile", profile))?,
        read,
        write,
        room_bytes,
        apart,
        files,
        socket,
        listener,
        memory_bytes,
        cpu_s,
        concurrent,
        file_bytes,
        proxy_port,
        parent,
        death_signal,
        layers,
    };
    if let Some(ring) = ring {
        trap::record_into(ring.get().ring);
        told::remember(&settings);
        let hook = wrap_pyfunction!(audit, py)?;
        py.import("sys")?.call_method1("addaudithook", (hook,))?;
    }
    let confined = sandbox::confine(&settings);
    let confined = confined.map_err(|refused| ConfinementError::new_err(refused.to_string()))?;
    Ok(confined.tier.name())
}

/// The audit hook of a confined process.
#[pyfunction]
fn audit(event: &Bound<'_, PyString>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let path = |at: usize| -> Option<PathBuf> {
        let argument = arguments.get_item(at).ok()?;
        if let Ok(bytes) = argument.cast::<PyBytes>() {
            return Some(PathBuf::from(
                String::from_utf8_lossy(bytes.as_bytes()).as_ref(),
            ));
        }
        argument
            .cast::<PyString>()
            .ok()
            .map(|text| PathBuf::from(text.to_string_lossy().as_ref()))
    };
    match event.to_str()? {
        "open" => {
            let flags = arguments.get_item(2)?.extract::<i32>().unwrap_or(0);
            if let Some(path) = path(0) {
                told::opens(&path, sandbox::is_writing(flags));
            }
        }
        "os.listdir" | "os.scandir" => told::opens(&path(0).unwrap_or_else(|| ".".into()), false),
        "_thread.start_new_thread" | "_thread.start_joinable_thread" => told::starts_thread(),
        "os.fork" | "os.forkpty" => told::forks(Path::new("")),
        "subprocess.Popen" | "os.posix_spawn" => told::forks(&path(0).unwrap_or_default()),
        _ => {}
    }
    Ok(())
}

/// Which layers hold on this machine, found by attacks.
#[pyfunction]
pub fn probe(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(probing::probe).map_err(errors::os)?;
    let layers = found.states.iter().map(|state| {
        let row = PyDict::new(py);
        row.set_item("name", state.layer.name())?;
        row.set_item("on", state.on)?;
        row.set_item("why", &state.why)?;
        Ok(row)
    });
    let result = PyDict::new(py);
    result.set_item("tier", found.tier.name())?;
    result.set_item("layers", layers.collect::<PyResult<Vec<_>>>()?)?;
    Ok(result)
}
