//! What a confined process says itself of its refusals: Landlock gives no signal, and around a fork there is none.
//!
//! Python tells (an audit hook) what is about to be opened; what is not among the paths that were left is recorded.
//! It is information, not a wall: hostile code may go around it, and is refused all the same.

use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Settings, calls, trap};
use crate::violations::Layer;

struct Left {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

static LEFT: OnceLock<Left> = OnceLock::new();
static FILES: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicBool = AtomicBool::new(false);
static THREADS: AtomicBool = AtomicBool::new(false);

/// Which layers refuse: what none of them refuses is not told.
pub(super) fn hold(files: bool, calls: bool, threads: bool) {
    FILES.store(files, Ordering::Relaxed);
    CALLS.store(calls, Ordering::Relaxed);
    THREADS.store(threads, Ordering::Relaxed);
}

/// What was left to this process.
pub fn remember(settings: &Settings) {
    let real = |paths: &[PathBuf]| {
        let both = paths
            .iter()
            .flat_map(|path| [Some(path.clone()), path.canonicalize().ok()]);
        both.flatten().collect::<Vec<_>>()
    };
    let write = real(&[settings.write.clone(), settings.files.clone()].concat());
    let read = [real(&settings.read), write.clone()].concat();
    LEFT.get_or_init(|| Left { read, write });
}

/// A path is about to be opened (or a folder listed).
pub fn opens(path: &Path, writing: bool) {
    let Some(left) = LEFT.get().filter(|_| FILES.load(Ordering::Relaxed)) else {
        return;
    };
    let path = absolute(path);
    let paths = if writing { &left.write } else { &left.read };
    if !paths.iter().any(|allowed| path.starts_with(allowed)) {
        let errno = u16::try_from(libc::EACCES).unwrap_or(0);
        push(Layer::Landlock, "openat", errno, &path);
    }
}

/// A process is about to be made.
pub fn forks(program: &Path) {
    if CALLS.load(Ordering::Relaxed) {
        let errno = u16::try_from(libc::EPERM).unwrap_or(0);
        push(Layer::Seccomp, "clone", errno, program);
    }
}

/// A thread is about to be started.
pub fn starts_thread() {
    if !THREADS.load(Ordering::Relaxed) {
        forks(Path::new("(a thread)"));
    }
}

fn push(layer: Layer, call: &str, errno: u16, path: &Path) {
    let number = calls::native().and_then(|arch| calls::number(arch, call));
    if let Some(number) = number {
        trap::push(layer, number, errno, path.as_os_str().as_encoded_bytes());
    }
}

/// Without `.` and `..`, by the text alone: the files may not be looked at.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::env::current_dir()
        .unwrap_or_else(|_| PathBuf::from("/"))
        .join(path);
    let mut plain = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(absolute(Path::new("/a/../b/./c")), Path::new("/b/c"));
        assert_eq!(absolute(Path::new("/../..")), Path::new("/"));
        assert!(absolute(Path::new("x")).is_absolute());
    }
}
