//! Pages that a fork wrote to and that say again what they said before it: they are given back, to be shared once more.
//!
//! Python counts references in the objects themselves: whoever looks at an object writes to its page, and writes the old
//! count when it has looked. The fork would keep that page for good. Therefore a process that is going to fork has its
//! memory as a private mapping of a file in memory: what a fork drops of it comes from there again.

use std::ffi::c_void;
use std::fs;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use crate::process::page_bytes;

/// Larger mappings are the state's, in huge pages: a fork writes little to them.
const LARGEST_BYTES: usize = 16 << 20;
/// What the file has behind each piece, empty: `mremap` may let the piece grow, and beyond a file's end is SIGBUS.
const ROOM_BYTES: usize = 1 << 40;
/// Pages that are looked at together.
const BLOCK_PAGES: usize = 512;
const SEALS: libc::c_int =
    libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// A piece of this process' memory, and where its original can be read.
struct Piece {
    start: usize,
    bytes: usize,
    original: usize,
}

/// What a process' memory said at one moment.
pub struct Originals(Vec<Piece>);

impl Originals {
    /// Moves the memory that is written to (heap, mappings without a name, variables of libraries) into a sealed file,
    /// and maps it from there, where it was. This process must have one thread.
    ///
    /// # Errors
    /// No memory, a limit on files' sizes, or a kernel without memfd. The memory says what it said in any case.
    pub fn keep() -> Result<Originals> {
        let mut pieces = pieces(&fs::read_to_string("/proc/self/maps")?);
        let stack = &raw const pieces as usize;
        pieces.retain(|piece| !(piece.start..piece.start + piece.bytes).contains(&stack));
        let file = file(pieces.iter().map(|piece| piece.bytes + ROOM_BYTES).sum())?;
        let signals = Blocked::all();
        // nothing is allocated until the last piece is mapped: it would be written to what has been copied already
        let kept = pieces.iter_mut().try_fold(0, |at, piece| {
            piece.move_into(&file, at)?;
            Ok(at + piece.bytes + ROOM_BYTES)
        });
        drop(signals);
        kept.and_then(|_| {
            // SAFETY: two numbers, of a descriptor of ours.
            check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })
        })?;
        pieces.iter().for_each(Piece::touch);
        Ok(Originals(pieces))
    }

    /// Gives back the pages that are as they were. This process must have one thread.
    pub fn share_again(&self) {
        let _signals = Blocked::all();
        for piece in &self.0 {
            piece.share_again();
        }
    }
}

impl Drop for Originals {
    fn drop(&mut self) {
        for piece in &self.0 {
            // SAFETY: only this piece knows of the mapping.
            unsafe { libc::munmap(address(piece.original), piece.bytes) };
        }
    }
}

impl Piece {
    /// Copies the piece into the file, and maps it from there: to be written where it was, to be read somewhere else.
    fn move_into(&mut self, file: &OwnedFd, at: usize) -> Result<()> {
        let fd = file.as_raw_fd();
        let mut done = 0;
        while done < self.bytes {
            let from = address(self.start + done).cast_const();
            // SAFETY: the piece is mapped and may be read, and nothing else runs that could unmap it.
            let wrote = unsafe { libc::pwrite(fd, from, self.bytes - done, offset(at + done)?) };
            match usize::try_from(wrote) {
                Ok(more) if more > 0 => done += more,
                _ => return Err(Error::last_os_error()),
            }
        }
        let (anywhere, offset) = (null_mut(), offset(at)?);
        let (read, write, private) = (libc::PROT_READ, libc::PROT_WRITE, libc::MAP_PRIVATE);
        // SAFETY: a new mapping at an address that the kernel picks touches nothing of ours.
        let original = unsafe { libc::mmap(anywhere, self.bytes, read, private, fd, offset) };
        let original = mapped(original)?;
        let (place, there) = (address(self.start), private | libc::MAP_FIXED);
        // SAFETY: the new mapping says what the old one said, which was private and could be written too.
        mapped(unsafe { libc::mmap(place, self.bytes, read | write, there, fd, offset) })?;
        self.original = original; // not earlier: `self` may lie in the piece
        Ok(())
    }

    /// Has all of its pages in this process' table, and one page written: then a fork gets them with the table, and
    /// does not have to ask for each of them.
    fn touch(&self) {
        for at in (0..self.bytes).step_by(page_bytes()) {
            // SAFETY: the first byte of a page of the piece.
            unsafe { address(self.start + at).cast::<u8>().read_volatile() };
        }
        let first = address(self.start).cast::<u8>();
        // SAFETY: the first byte of the piece.
        let says = unsafe { first.read_volatile() };
        // SAFETY: the same.
        unsafe { first.write_volatile(says) };
    }

    fn share_again(&self) {
        let block = BLOCK_PAGES * page_bytes();
        for first in (0..self.bytes).step_by(block) {
            self.share_block(first, (first + block).min(self.bytes));
        }
        // what was read of the original only to compare is not to count as this process'
        // SAFETY: the mapping is ours, was never written, and stays.
        unsafe { libc::madvise(address(self.original), self.bytes, libc::MADV_DONTNEED) };
    }

    /// The same for a part, given by its offsets; one that is not all there any more is left as it is.
    fn share_block(&self, first: usize, end: usize) {
        if !there(self.start + first, end - first, &mut [0; BLOCK_PAGES]) {
            return;
        }
        let mut from = first;
        for at in (first..end).step_by(page_bytes()) {
            if !self.as_it_was(at) {
                self.give_back(from, at);
                from = at + page_bytes();
            }
        }
        self.give_back(from, end);
    }

    fn as_it_was(&self, at: usize) -> bool {
        let (now, before) = (address(self.start + at), address(self.original + at));
        // SAFETY: a page of the piece and of its original, both mapped; nothing else runs that could write to them.
        unsafe { libc::memcmp(now, before, page_bytes()) == 0 }
    }

    /// Drops pages that are as they were. Where the piece has been unmapped, and something else mapped, they do not
    /// come from the file again, and are written.
    fn give_back(&self, from: usize, end: usize) {
        if from >= end {
            return;
        }
        let mut resident = [0; BLOCK_PAGES];
        // SAFETY: what these pages say is known, and comes back in any case.
        unsafe { libc::madvise(address(self.start + from), end - from, libc::MADV_DONTNEED) };
        there(self.start + from, end - from, &mut resident);
        for (at, resident) in (from..end).step_by(page_bytes()).zip(resident) {
            if resident & 1 == 0 {
                let (to, before) = (address(self.start + at), address(self.original + at));
                // SAFETY: both are mapped pages, and do not overlap.
                unsafe { libc::memcpy(to, before, page_bytes()) };
            }
        }
    }
}

/// Whether all pages from `start` on are mapped; which of them are in memory, of a file's also without being used here.
fn there(start: usize, bytes: usize, resident: &mut [u8; BLOCK_PAGES]) -> bool {
    // SAFETY: there is a byte for each of the pages, which are at most BLOCK_PAGES.
    unsafe { libc::mincore(address(start), bytes, resident.as_mut_ptr()) == 0 }
}

/// A file in memory, of this size, with nothing in it.
fn file(bytes: usize) -> Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string that lives for ever.
    let fd = check(unsafe { libc::memfd_create(c"o-originals".as_ptr(), flags) })?;
    // SAFETY: the descriptor was just made, and nobody else has it.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: two numbers, of a descriptor of ours.
    check(unsafe { libc::ftruncate(fd, offset(bytes)?) })?;
    Ok(file)
}

/// The private mappings that may be written, but for stacks and large ones.
fn pieces(maps: &str) -> Vec<Piece> {
    maps.lines().filter_map(piece).collect()
}

fn piece(line: &str) -> Option<Piece> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let private = words.next()? == "rw-p";
    let name = words.nth(3).unwrap_or("");
    let heap = name == "[heap]";
    let wanted = heap || (!name.starts_with('[') && end - start <= LARGEST_BYTES);
    (private && wanted).then_some(Piece {
        start,
        bytes: end - start,
        original: 0,
    })
}

/// No signal's handler runs while this lives.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Blocked {
        // SAFETY: zeros are a set.
        let [mut all, mut before]: [libc::sigset_t; 2] = unsafe { std::mem::zeroed() };
        // SAFETY: it writes to a set of ours.
        unsafe { libc::sigfillset(&raw mut all) };
        // SAFETY: it reads one set of ours and writes to the other.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
        Blocked(before)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: it is the set that there was before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, null_mut()) };
    }
}

fn check(result: libc::c_int) -> Result<libc::c_int> {
    match result {
        -1 => Err(Error::last_os_error()),
        good => Ok(good),
    }
}

fn mapped(start: *mut c_void) -> Result<usize> {
    match start {
        libc::MAP_FAILED => Err(Error::last_os_error()),
        good => Ok(good as usize),
    }
}

fn address(at: usize) -> *mut c_void {
    at as *mut c_void
}

fn offset(bytes: usize) -> Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| Error::from_raw_os_error(libc::EFBIG))
}

#[cfg(test)]
mod tests {
    use super::{Originals, address, pieces};
    use crate::process;

    const PAGES: usize = 64;

    #[test]
    fn memory_that_is_written_to_and_not_the_large_and_the_stack() {
        let maps = "\
55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
7f0001000000-7f0001001000 rw-p 00003000 fe:00 12   /usr/lib/libx y.so
7f0002000000-7f0002001000 r--p 00003000 fe:00 12   /usr/lib/libx.so
7f0003000000-7f0003001000 rw-s 00000000 00:01 7    /memfd:o-shared (deleted)
7f0004000000-7f0006000000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
";
        let found: Vec<_> = pieces(maps)
            .iter()
            .map(|piece| (piece.start, piece.bytes))
            .collect();
        let wanted = [
            (0x55d0_c000_0000, 0x21000),
            (0x7f00_0000_0000, 0x10_0000),
            (0x7f00_0100_0000, 0x1000),
        ];
        assert_eq!(found, wanted);
    }

    /// Pages with a number in each, at a place of the kernel's choice or at `place`.
    fn numbered(place: usize, pages: std::ops::Range<usize>) -> usize {
        let (wanted, anonymous) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        let (page, fixed) = (
            process::page_bytes(),
            if place == 0 { 0 } else { libc::MAP_FIXED },
        );
        let bytes = pages.len() * page;
        // SAFETY: a new mapping, or in the place of one that only this test uses.
        let start =
            unsafe { libc::mmap(address(place), bytes, wanted, anonymous | fixed, -1, 0) } as usize;
        pages
            .clone()
            .for_each(|number| write(start + (number - pages.start) * page, number + 1));
        start
    }

    fn write(at: usize, number: usize) {
        // SAFETY: a page of a mapping of this test's.
        unsafe { address(at).cast::<usize>().write_volatile(number) };
    }

    fn numbers_are_right(start: usize) -> bool {
        let page = |number| address(start + number * process::page_bytes()).cast::<usize>();
        // SAFETY: pages of a mapping of this test's.
        (0..PAGES).all(|number| unsafe { page(number).read_volatile() } == number + 1)
    }

    fn unmap(start: usize, pages: usize) {
        // SAFETY: a mapping of this test's.
        unsafe { libc::munmap(address(start), pages * process::page_bytes()) };
    }

    /// Those that do not come from a file.
    fn own_pages() -> usize {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or(0) * 1024 / process::page_bytes()
    }

    /// Runs in a process with one thread; 0 or the number of what is wrong.
    fn kept_and_shared_again() -> i32 {
        let (start, other) = (numbered(0, 0..PAGES), numbered(0, 0..PAGES));
        let Ok(kept) = Originals::keep() else {
            return 1;
        };
        if !numbers_are_right(start) {
            return 2;
        }
        let before = own_pages();
        (0..PAGES).for_each(|number| write(start + number * process::page_bytes(), 7));
        (0..PAGES).for_each(|number| write(start + number * process::page_bytes(), number + 1));
        if own_pages() < before + PAGES {
            return 3;
        }
        write(other, 99);
        kept.share_again();
        if own_pages() > before + PAGES / 4 || !numbers_are_right(start) {
            return 4;
        }
        // SAFETY: the first page of a mapping of this test's.
        if unsafe { address(other).cast::<usize>().read_volatile() } != 99 {
            return 5;
        }
        // other memory in its place says the same by chance, and a part is gone
        unmap(start, PAGES);
        numbered(start, 0..PAGES);
        unmap(other, PAGES / 2);
        kept.share_again();
        if numbers_are_right(start) { 0 } else { 6 }
    }

    #[test]
    fn what_says_the_same_again_is_shared_again_and_nothing_changes() {
        // SAFETY: the child does what it does in one thread, and ends without going back.
        match unsafe { libc::fork() } {
            // SAFETY: it only ends.
            0 => unsafe { libc::_exit(kept_and_shared_again()) },
            child => {
                let mut status = 0;
                // SAFETY: `status` is ours.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                assert_eq!(status, 0);
            }
        }
    }
}
