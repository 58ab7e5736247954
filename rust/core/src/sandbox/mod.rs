//! Confinement: a process gives up for good what it does not need, before it reads a byte of code from outside.
//!
//! Layers that do not need each other: who it is (`itself`), how much it may use (`limits`), what there is
//! (`namespaces`), which files it may open (`files`, Landlock), which calls it may make (`bpf`, `policy`, `trap`).
//! `probe` says by attacks, not by feature flags, which of them hold on this machine.

mod bpf;
pub mod calls;
mod files;
mod itself;
mod limits;
pub mod listener;
mod namespaces;
mod policy;
pub mod probe;
pub mod told;
pub mod trap;
mod witnesses;

use std::fmt;
use std::io::{Error, Result};
use std::os::fd::RawFd;
use std::path::PathBuf;

pub use itself::NOBODY;

/// What a process is going to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// An instance: its socket, memory, time, and the files that it may read.
    Agent,
    /// Programs that work in one folder, with no network but a proxy.
    Tool,
    /// Compilers: one folder, no network.
    Build,
}

impl Profile {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "agent" => Some(Profile::Agent),
            "tool" => Some(Profile::Tool),
            "build" => Some(Profile::Build),
            _ => None,
        }
    }
}

/// One layer of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// An unprivileged user without capabilities, not to be looked into, that gains nothing by exec.
    Itself,
    /// Resource limits.
    Limits,
    /// Mounts, network, IPC and host name of its own; as an ordinary user by a user namespace.
    Namespaces,
    /// Landlock.
    Landlock,
    /// The filter of system calls.
    Seccomp,
}

impl Layer {
    /// All of them, in the order in which they are put on.
    pub const ALL: [Layer; 5] = [
        Layer::Namespaces,
        Layer::Itself,
        Layer::Limits,
        Layer::Landlock,
        Layer::Seccomp,
    ];

    /// Its name on screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Itself => "identity",
            Layer::Limits => "limits",
            Layer::Namespaces => "namespaces",
            Layer::Landlock => "landlock",
            Layer::Seccomp => "seccomp",
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.name() == name)
    }
}

/// Whether a file that is opened with these flags may be changed, or made.
#[must_use]
pub fn is_writing(flags: libc::c_int) -> bool {
    flags & (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) != libc::O_RDONLY
}

/// How well a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Namespaces and base.
    A,
    /// The base: Landlock and seccomp.
    B,
    /// Without Landlock; the filter then lets no file be opened at all.
    C,
    /// Not confined.
    X,
}

impl Tier {
    /// Its letter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::A => "A",
            Tier::B => "B",
            Tier::C => "C",
            Tier::X => "X",
        }
    }

    /// What a set of working layers amounts to.
    #[must_use]
    pub fn of(layers: &[Layer]) -> Tier {
        let has = |layer| layers.contains(&layer);
        if !(has(Layer::Seccomp) && has(Layer::Itself) && has(Layer::Limits)) {
            return Tier::X;
        }
        match (has(Layer::Landlock), has(Layer::Namespaces)) {
            (true, true) => Tier::A,
            (true, false) => Tier::B,
            (false, _) => Tier::C,
        }
    }
}

/// What a process keeps.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is going to be.
    pub profile: Profile,
    /// Files and folders that may be read (and run, by tools and builds); those that are not there are left out.
    pub read: Vec<PathBuf>,
    /// Folders that may be written (tools and builds).
    pub write: Vec<PathBuf>,
    /// How much room they have, and no file stays in them: each is of memory of its own then. 0: they are the
    /// machine's. Needs namespaces.
    pub room_bytes: u64,
    /// The processes that it makes see none but one another, and end with the first of them. Needs namespaces.
    pub apart: bool,
    /// Existing files that may be read and written, but neither made nor removed.
    pub files: Vec<PathBuf>,
    /// The descriptor that becomes number 3; 0 to 2 lead nowhere then. None: 0 to 2 stay as they are.
    pub socket: Option<RawFd>,
    /// A socket to who listens to a tool or a build; it becomes number 3 and closes when all is put on.
    pub listener: Option<RawFd>,
    /// How much more memory it may have than it has now; 0: no limit.
    pub memory_bytes: u64,
    /// CPU time; 0: no limit.
    pub cpu_s: u64,
    /// An instance that may start threads (as many as the limit of processes leaves) and have pairs of sockets.
    pub concurrent: bool,
    /// The largest size of a file that it writes.
    pub file_bytes: u64,
    /// The one port that it may connect to; 0: none. Needs Landlock of Linux 6.7.
    pub proxy_port: u16,
    /// Who must be its parent still; 0: whoever.
    pub parent: i32,
    /// What it gets when its parent ends; 0: nothing.
    pub death_signal: i32,
    /// Which layers are put on. All but in tests.
    pub layers: Vec<Layer>,
}

impl Settings {
    /// An instance tells by itself, and has its own socket as number 3.
    fn check(&self) -> Result<()> {
        let alone = self.profile != Profile::Agent && self.socket.is_none();
        match self.listener {
            Some(_) if !alone => Err(Error::from_raw_os_error(libc::EINVAL)),
            _ => Ok(()),
        }
    }
}

/// A layer, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which.
    pub layer: Layer,
    /// It holds.
    pub on: bool,
    /// Why not, or how far.
    pub why: String,
}

impl State {
    fn of(layer: Layer, how: Result<String>) -> State {
        let (on, why) = match how {
            Ok(how) => (true, how),
            Err(error) => (false, error.to_string()),
        };
        State { layer, on, why }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confined {
    /// How well the process is confined.
    pub tier: Tier,
    /// Each layer.
    pub states: Vec<State>,
}

/// The kernel refused a step without which the process must not go on.
#[derive(Debug)]
pub struct Refused {
    /// Which step.
    pub step: &'static str,
    /// The kernel's word.
    pub error: Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { step, error } = self;
        write!(
            out,
            "the sandbox could not {step}: {error}; the process must end"
        )
    }
}

impl std::error::Error for Refused {}

fn must<T>(step: &'static str, result: Result<T>) -> std::result::Result<T, Refused> {
    result.map_err(|error| Refused { step, error })
}

/// Confines this process for good. It must have one thread.
///
/// What a machine may lack (namespaces, Landlock, seccomp) lowers the tier and is said in the states; where the kernel
/// refuses what every Linux can, or a layer is on and does not hold, the process is told to end.
///
/// # Errors
/// See [`Refused`].
pub fn confine(settings: &Settings) -> std::result::Result<Confined, Refused> {
    trap::tell(false);
    must("know who listens", settings.check())?;
    let wanted = |layer| settings.layers.contains(&layer);
    let mut states = become_somebody(settings)?;
    let restricted = wanted(Layer::Landlock).then(|| files::restrict(settings));
    let world = states.iter().any(|s| s.on && s.layer == Layer::Namespaces);
    let beside = beside(settings, restricted.as_ref(), world);
    states.extend(restricted.map(|how| State::of(Layer::Landlock, how)));
    if wanted(Layer::Seccomp) {
        let how = filter(settings, beside);
        states.push(State::of(Layer::Seccomp, how));
    }
    let on: Vec<Layer> = states.iter().filter(|s| s.on).map(|s| s.layer).collect();
    must("hold", witnesses::self_test(settings.profile, &on))?;
    let agent = settings.profile == Profile::Agent;
    told::hold(
        on.contains(&Layer::Landlock),
        agent && on.contains(&Layer::Seccomp),
        settings.concurrent,
    );
    if settings.listener.is_some() {
        // SAFETY: close takes a number; nothing of ours holds that descriptor.
        let closed = itself::check(unsafe { libc::close(itself::SOCKET) });
        must("be left alone", closed)?;
    }
    trap::tell(true);
    let tier = Tier::of(&on);
    Ok(Confined { tier, states })
}

/// What Landlock (None: it is not put on) and a world of its own hold.
fn beside(settings: &Settings, landlock: Option<&Result<String>>, world: bool) -> policy::Beside {
    let whole = matches!(landlock, Some(Ok(lacking)) if lacking.is_empty());
    policy::Beside {
        // a test of the filter alone may look at files; in earnest nobody may whom Landlock does not hold
        files: landlock.is_none_or(Result::is_ok),
        network: whole && settings.proxy_port != 0,
        signals: whole,
        world,
    }
}

/// Everything but Landlock and the filter, which rule out that anything is changed afterwards.
fn become_somebody(settings: &Settings) -> std::result::Result<Vec<State>, Refused> {
    let wanted = |layer| settings.layers.contains(&layer);
    let mut states = Vec::new();
    let present = must("read its own size", limits::present())?;
    must(
        "let go of what it had",
        itself::detach(settings.socket, settings.listener),
    )?;
    if wanted(Layer::Namespaces) {
        states.push(State::of(Layer::Namespaces, namespaces::enter(settings)));
    }
    // who cannot stop being root is not called confined, whatever else holds
    let dropped = wanted(Layer::Itself).then(itself::drop_root);
    must("end with its parent", itself::follow(settings))?;
    if wanted(Layer::Limits) {
        must("limit itself", limits::set(settings, present))?;
        states.push(State::of(Layer::Limits, Ok(String::new())));
    }
    if let Some(dropped) = dropped {
        must("give up its rights", itself::give_up())?;
        let how = dropped.map(|()| String::new());
        let refused = |error| Error::other(format!("root cannot become another user: {error}"));
        states.push(State::of(Layer::Itself, how.map_err(refused)));
    }
    must("rule out new rights", itself::no_new_privileges())?;
    Ok(states)
}

fn filter(settings: &Settings, beside: policy::Beside) -> Result<String> {
    let arch = calls::native().ok_or_else(|| Error::other("no table of calls for this machine"))?;
    if settings.profile == Profile::Agent {
        trap::install(arch)?;
    }
    let (profile, pid) = (settings.profile, std::process::id());
    let rules = policy::filter(profile, arch, pid, settings.concurrent, beside);
    let how = if beside.files {
        ""
    } else {
        "no file can be opened"
    };
    if settings.listener.is_none() {
        bpf::load(&mut rules.compile())?;
        return Ok(how.to_string());
    }
    match bpf::load_and_listen(&mut policy::heard(rules.clone()).compile()) {
        Ok(listener) => listener::hand_over(&listener, itself::SOCKET).map(|()| how.to_string()),
        Err(error) => {
            // who listens sees it by the socket's end
            bpf::load(&mut rules.compile())?;
            Ok(format!("refusals are not recorded: {error}"))
        }
    }
}

#[cfg(test)]
mod tests;
