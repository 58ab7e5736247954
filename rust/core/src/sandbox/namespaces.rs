//! A world of its own: a root of a few kilobytes in which only what may be read stands, no network, no IPC, a host
//! name of its own.
//!
//! As root the namespaces are made directly; an ordinary user makes a user namespace first, in which he has the right
//! to. Neither is needed: where it is refused, the tier is lower.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::Settings;
use super::itself::{NOBODY, check};

const WORLD: libc::c_int = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// Where the new root is built, over whatever is there: every Linux has it.
const PLACE: &str = "/tmp";
/// The root holds folders to mount on and empty files, nothing else.
const ROOT: &str = "size=256k,nr_inodes=512,mode=0755";
/// How many files and folders there may be in memory that is a program's room.
const ROOM_FILES: u64 = 65_536;
const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// A tree that is cut out and not mounted yet.
struct Tree {
    path: PathBuf,
    cut: OwnedFd,
    folder: bool,
}

/// Moves this process into it.
pub(super) fn enter(settings: &Settings) -> Result<String> {
    // a proxy is reached over this machine's own network; which port, Landlock says
    let network = if settings.proxy_port == 0 {
        libc::CLONE_NEWNET
    } else {
        0
    };
    let processes = if settings.apart {
        libc::CLONE_NEWPID
    } else {
        0
    };
    unshare(WORLD | network | processes)?;
    // first of all: a tree that is cut out of a shared mount is one too, and what is put into it is put into everybody's
    mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    let mut trees = Vec::new();
    for path in with_real(&settings.read) {
        trees.extend(cut(&path, READ_ONLY)?);
    }
    let rooms = if settings.room_bytes > 0 {
        with_real(&settings.write)
    } else {
        BTreeSet::new()
    };
    for path in with_real(settings.write.iter().chain(&settings.files)).difference(&rooms) {
        trees.extend(cut(path, WRITABLE)?);
    }
    trees.sort_by(|a, b| a.path.cmp(&b.path));
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount(Some("o"), PLACE, Some("tmpfs"), flags, Some(ROOT))?;
    let room = |path: &PathBuf| furnish(path, settings.room_bytes);
    let built = trees
        .iter()
        .try_for_each(attach)
        .and_then(|()| rooms.iter().try_for_each(room));
    if let Err(error) = built.and_then(|()| turn(Path::new(PLACE))) {
        // without namespaces it goes on, and what stands in that place must be seen again
        // SAFETY: the path is a constant.
        check(unsafe { libc::umount2(c"/tmp".as_ptr(), libc::MNT_DETACH) })?;
        return Err(error);
    }
    seal()?;
    Ok(String::new())
}

/// The paths, and where links lead that are in them: a link which stands in another of the trees leads there.
fn with_real<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    let both = |path: &PathBuf| [Some(path.clone()), fs::canonicalize(path).ok()];
    paths.into_iter().flat_map(both).flatten().collect()
}

/// With the rights that this process has; as an ordinary user by those that a user namespace gives him.
fn unshare(world: libc::c_int) -> Result<()> {
    let (user, group) = who();
    // SAFETY: unshare takes a number; this process has one thread.
    let direct = check(unsafe { libc::unshare(world) });
    match direct {
        Ok(()) => return Ok(()),
        Err(error) if user == 0 => {
            let text = format!("root may make no namespaces here: {error}");
            return Err(Error::other(text));
        }
        Err(_) => {}
    }
    // SAFETY: the same.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | world) })
        .map_err(|error| Error::other(format!("no user namespace: {error}")))?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// The user and the group.
fn who() -> (libc::uid_t, libc::gid_t) {
    // SAFETY: geteuid takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    // SAFETY: neither does getegid.
    let group = unsafe { libc::getegid() };
    (user, group)
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

/// Cuts a tree out of what is mounted; None: there is nothing.
fn cut(path: &Path, attributes: u64) -> Result<Option<Tree>> {
    let Ok(about) = fs::metadata(path) else {
        return Ok(None);
    };
    // what leads nowhere (/dev/null) is of no use where no device may be opened; a path must name it
    let attributes = if about.file_type().is_char_device() {
        attributes & !libc::MOUNT_ATTR_NODEV
    } else {
        attributes
    };
    let name = c_path(path)?;
    let flags = libc::OPEN_TREE_CLONE as libc::c_int | libc::O_CLOEXEC | libc::AT_RECURSIVE;
    // SAFETY: the name lives across the call.
    let number =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags) };
    let number = RawFd::try_from(number).unwrap_or(-1);
    check(number)?;
    // SAFETY: the kernel has just given us this descriptor.
    let cut = unsafe { OwnedFd::from_raw_fd(number) };
    set_attributes(
        cut.as_raw_fd(),
        c"",
        libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
        attributes,
    )?;
    Ok(Some(Tree {
        path: path.to_path_buf(),
        cut,
        folder: about.is_dir(),
    }))
}

fn set_attributes(
    folder: RawFd,
    path: &std::ffi::CStr,
    flags: libc::c_int,
    attributes: u64,
) -> Result<()> {
    let wanted = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let (address, size) = (&raw const wanted, size_of::<libc::mount_attr>());
    // SAFETY: path and attributes live across the call, and the size is right.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder,
            path.as_ptr(),
            flags,
            address,
            size,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

fn mount(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: libc::c_ulong,
    options: Option<&str>,
) -> Result<()> {
    let text = |text: Option<&str>| text.map(CString::new).transpose();
    let (source, kind, options) = (text(source)?, text(kind)?, text(options)?);
    let target = CString::new(target)?;
    let address = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    // SAFETY: all texts live across the call; null stands for those that are not needed.
    check(unsafe {
        libc::mount(
            address(&source),
            target.as_ptr(),
            address(&kind),
            flags,
            address(&options).cast(),
        )
    })
}

/// Puts memory of a size where a folder is, for whoever this process becomes.
fn furnish(path: &Path, bytes: u64) -> Result<()> {
    let target = Path::new(PLACE).join(path.strip_prefix("/").unwrap_or(path));
    make_folders(&target)?;
    let (user, group) = match who() {
        (0, _) => (NOBODY, NOBODY),
        ordinary => ordinary,
    };
    let options = format!("size={bytes},nr_inodes={ROOM_FILES},mode=0700,uid={user},gid={group}");
    let target = target.to_str().ok_or(ErrorKind::InvalidFilename)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount(Some("o"), target, Some("tmpfs"), flags, Some(&options))
}

/// Puts a cut-out tree at the same path in the new root.
fn attach(tree: &Tree) -> Result<()> {
    let below = tree.path.strip_prefix("/").unwrap_or(&tree.path);
    let target = Path::new(PLACE).join(below);
    let ways = target
        .ancestors()
        .take_while(|way| *way != Path::new(PLACE));
    if ways.into_iter().any(Path::is_symlink) {
        return Ok(()); // a link in a tree that is there already: what it leads to is put where that is
    }
    if !target.exists() {
        let parent = if tree.folder {
            Some(target.as_path())
        } else {
            target.parent()
        };
        if let Some(parent) = parent {
            make_folders(parent)?;
        }
        if !tree.folder {
            fs::File::create(&target)?;
        }
    } else if target.is_dir() != tree.folder {
        return Ok(()); // stands in a tree that is there already, as something else
    }
    let target = c_path(&target)?;
    let (from, here) = (tree.cut.as_raw_fd(), libc::AT_FDCWD);
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH;
    // SAFETY: both paths live across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from,
            c"".as_ptr(),
            here,
            target.as_ptr(),
            flags,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Whoever root becomes later must be able to walk through them.
fn make_folders(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    // SAFETY: umask takes a number and cannot fail.
    let mask = unsafe { libc::umask(0) };
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    // SAFETY: the same.
    unsafe { libc::umask(mask) };
    made
}

/// The new root becomes the root, and the old one is gone.
fn turn(root: &Path) -> Result<()> {
    std::env::set_current_dir(root)?;
    let here = c".".as_ptr();
    // SAFETY: both paths are constants.
    let result = unsafe { libc::syscall(libc::SYS_pivot_root, here, here) };
    if result != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the path is a constant.
    check(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    std::env::set_current_dir("/")
}

fn seal() -> Result<()> {
    set_attributes(libc::AT_FDCWD, c"/", 0, READ_ONLY)
}
