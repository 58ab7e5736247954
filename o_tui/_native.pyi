"""The Rust extension: what must be fast, or what Python cannot do (rust/, checked by stubtest)."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Final, Literal, TypedDict, Unpack, final

from typing_extensions import Buffer

__all__ = [
    "EMBEDDER",
    "Body",
    "ConfinementError",
    "Dictionary",
    "MemoryIndex",
    "SharedCounters",
    "SharedReader",
    "SharedReading",
    "VectorArray",
    "VectorIndex",
    "ViolationRing",
    "__version__",
    "adopt_orphans",
    "check_frame",
    "confine",
    "delta",
    "embed",
    "file_sha256",
    "fill_holes",
    "fingerprint",
    "give_back_memory",
    "hidden",
    "keep_originals",
    "pack",
    "probe",
    "process_cpu_ns",
    "process_rss",
    "process_rss_pss",
    "safe_text",
    "set_parent_death_signal",
    "set_short_turns",
    "set_small_pages",
    "share_again",
    "train_dictionary",
]

__version__: str
EMBEDDER: Final[str]
"""The name of what `embed` does; another way of embedding gets another name."""

def check_frame(payload: bytes, depth: int = 32, values: int = 262144) -> None:
    """Checks that `payload` is exactly one MessagePack value that is safe to decode, before anything decodes it.

    Refused: nested deeper than `depth`; more than `values` values; an extension type; text that is not UTF-8; NaN and
    infinity; a key that is there twice or is neither text nor an integer; a length past the end; bytes after the end.
    Never allocates what a length announces.

    Raises:
        ValueError: It is not; the text is the reason.
    """

def safe_text(text: str, max_chars: int = 0, keep_newlines: bool = True) -> str:
    """Text from outside, with everything that could act on a terminal or deceive a reader made visible.

    Controls become their pictures (`␛`), bidi and invisible characters `<U+202E>`, surplus combining marks
    `<+16 marks>`; what ordinary words and emoji are made of stays (rust/core/src/text/mod.rs has the table).

    Args:
        text: Anything, lone surrogates included.
        max_chars: The result never has more characters; 0 is no limit. A cut ends in `… (N more)`.
        keep_newlines: Keep line feeds and tabs; otherwise they become `␊` and a space.

    Returns:
        The same object where nothing had to change.
    """

def hidden(text: str) -> list[tuple[int, str]]:
    """What a reviewer would not see: `(index, "U+202E RIGHT-TO-LEFT OVERRIDE")`, in order of the indexes.

    Invisible, bidi and control characters (not line feeds, tabs and CRLF), blanks, piles of marks, and in
    identifiers the letters that look like Latin ones or that a compiler reads as other ones.
    """

def embed(text: str, dimensions: int = 256) -> bytes:
    """The vector of a text: hashed n-grams of its words, float32 little-endian, of length 1 (or all zeros).

    The same bytes on every machine and in every version, for as long as `EMBEDDER` has the same name
    (rust/core/src/vectors/embed.rs says how it is made). Only the first 256 KiB of a text are read.

    Raises:
        ValueError: `dimensions` is not 1 to 16,384.
    """

class _Weights(TypedDict, total=False):
    """What a search for words counts, and how much."""

    text: float
    """What a word in the text weighs; 1 where it is not given."""
    context: float
    """One in the context; 0.5."""
    source: float
    """One in the source; 0.5."""
    neighbour: float
    """One in a neighbour's text; 0.5, and 0 is the fastest."""
    repeats: float
    """How late a repeated word counts no more (k1); 1.2."""
    length: float
    """How much long blocks are held back, 0 to 1 (b); 0.75."""
    coverage: float
    """How much of a score depends on the coverage, 0 to 1; 0."""

@final
class MemoryIndex:
    """What of a memory is searched: numbers of blocks (0 to 2**64-1) by their words, Porter-stemmed; no text is kept.

    Plain arrays, no threads; additions go to new memory, so that a fork shares what was there. The same blocks give
    the same results to the bit. The GIL is released around what takes longer than about 50 us. `len()` and `in` work.
    """

    def __new__(cls) -> MemoryIndex:
        """An empty index."""

    @staticmethod
    def from_bytes(data: Buffer) -> MemoryIndex:
        """Reads what `to_bytes` wrote.

        Raises:
            ValueError: The bytes are not an index of this version: build it anew.
        """

    def to_bytes(self, stamp: int = 0) -> bytes:
        """All of it, without what was removed; `stamp` (0 to 2**64-1) says of when it is."""

    def add(
        self,
        number: int,
        text: str,
        context: str | None = None,
        source: str | None = None,
        thread: str | None = None,
    ) -> None:
        """Adds a block. Those that follow each other in a `thread` are neighbours; without one it has none.

        Raises:
            ValueError: The number is not above those of all others; nothing has changed.
        """

    def remove(self, number: int) -> bool:
        """Takes a block out; False where there was none."""

    def rest(self) -> None:
        """Gives back the memory that searches count in (12 bytes a block and more); the next search makes it anew."""

    def find(
        self,
        query: str,
        k: int = 10,
        **weights: Unpack[_Weights],
    ) -> list[tuple[int, float, float]]:
        """The `k` best for any of the first 48 words of `query`: `(number, score, coverage)`, best first.

        BM25 of words weighted by where they are. The texts of the two neighbours before and the two after a block
        count for it too, by `neighbour`. The coverage of a block is the share of the words that its text has, plus
        half of those that are only around it.

        Args:
            query: Any text.
            k: How many at most.
            weights: What counts how much.

        Raises:
            TypeError: There is no such weight.
        """

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        vectors: VectorIndex | None = None,
        vector: bytes | None = None,
        meaning: float = 0.0,
        **weights: Unpack[_Weights],
    ) -> list[tuple[int, float, float]]:
        """The `k` best by words (`find`) and meaning together: `(number, score, cosine)`, best first.

        A score by words is scaled so that the best one's is its coverage; `meaning` is the share that the cosine with
        `vector` makes of a score, of the `k` best by words and of the `k` nearest among `vectors` (by blocks' numbers).
        Without these two, words alone count, and cosines are 0.

        Raises:
            ValueError: `vector` has another size than the vectors, or a number in it is not finite.
        """

    def __len__(self) -> int: ...
    def __contains__(self, number: int, /) -> bool: ...
    @property
    def numbers(self) -> int:
        """The sum of all numbers modulo 2**64: with `len()`, whether it has the blocks of a table."""

    @property
    def stamp(self) -> int:
        """What was given to the `to_bytes` that it was read from; 0 otherwise."""

    @property
    def memory_bytes(self) -> int:
        """Bytes that its arrays take."""

@final
class VectorArray:
    """An array of an index, read-only and not copied, for numpy: `np.asarray(index.rows())`.

    As long as it, or an array made of it, is there, the index refuses to change (BufferError).
    """

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Where it lies and what it holds, by numpy's protocol."""

    def __len__(self) -> int: ...

@final
class VectorIndex:
    """Vectors of one size under ids (0 to 2**64-1) in one matrix, and the exact best of them by cosine or product.

    Plain arrays, no threads that stay: a fork shares it by copy-on-write. It may be used from several threads; the GIL
    is released while a search takes longer than about 50 us. `len()` and `in` work.
    """

    def __new__(cls, dimensions: int = 256, metric: Literal["cosine", "dot"] = "cosine") -> VectorIndex:
        """An empty index; ValueError where `dimensions` is not 1 to 16,384.

        By "cosine" vectors are stored with length 1; by "dot" as they come, and a score is the product.
        """

    @staticmethod
    def from_bytes(data: Buffer) -> VectorIndex:
        """Reads what `to_bytes` wrote: the rows are copied once, as they are; their codes are made.

        Raises:
            ValueError: The bytes are not exactly an index.
        """

    def to_bytes(self) -> bytes:
        """All of it: header of 64 bytes, ids, rows."""

    @staticmethod
    def map(path: str | PathLike[str]) -> VectorIndex:
        """Maps a file that `save` wrote: nothing is copied, and all who map it share its pages.

        The first change copies it. The file must not be cut shorter meanwhile, and its codes are believed.

        Raises:
            ValueError: It is not such a file.
            OSError: It cannot be opened or mapped.
        """

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a file that `map` maps, durable, beside `path` first; raises OSError."""

    def add(self, id: int, vector: Buffer) -> None:
        """Puts a vector (float32) under an id, in the place of the one that was there.

        By cosine it is stored with length 1; zeros stay zeros.

        Raises:
            ValueError: It has another size, or NaN or infinity in it; nothing has changed.
            MemoryError: There is no memory for it; nothing has changed.
            BufferError: `rows()` or `ids()` is in use (as for `reserve` and `remove`).
        """

    def reserve(self, rows: int) -> None:
        """Makes room for `rows` more vectors, so that adding them moves nothing (before a fork).

        Raises:
            MemoryError: There is no memory for them.
            ValueError: More rows than an index can have (2**32 - 1).
        """

    def remove(self, id: int) -> bool:
        """Takes a vector out, without copying the others; False where there was none."""

    def get(self, id: int) -> bytes | None:
        """The vector under an id, as it is stored."""

    def search(
        self,
        query: Buffer,
        k: int = 10,
        ids: Sequence[int] | None = None,
        *,
        mask: Buffer | None = None,
        first_pass: Literal["auto", "exact", "certified", "int8", "bfloat16", "float16", "binary"] = "auto",
        threads: int = 0,
    ) -> list[tuple[int, float]]:
        """The `k` nearest: `(id, score)`, best first, equal scores by id.

        "exact" scores every row; "certified" reads codes of 8 bits with a bound on their error, and scores only rows
        that can be among the best: the same answer, bit for bit. "auto" takes the quicker of the two. The other first
        passes are approximate: what they find has its exact score, but they may miss some of the best. Their codes are
        made at the first use.

        Args:
            query: A vector (float32), of any length but of the index's size.
            k: How many at most.
            ids: Only these (those that are there).
            mask: Only the rows whose byte is not 0; a byte a row, in the order of `ids()`.
            first_pass: How rows are looked at before they are scored.
            threads: At most so many; 0: as many as there are processors, where one would take longer than about 2 ms.

        Raises:
            ValueError: The query has another size, or NaN or infinity in it; the mask has another size.
            TypeError: A buffer of other items than float32 (or bytes); of other items than bytes or bools for a mask.
        """

    def search_batch(
        self,
        queries: Buffer,
        k: int = 10,
        ids: Sequence[int] | None = None,
        *,
        mask: Buffer | None = None,
        first_pass: Literal["auto", "exact", "certified", "int8", "bfloat16", "float16", "binary"] = "auto",
        threads: int = 0,
    ) -> list[list[tuple[int, float]]]:
        """`search` for several queries, one after the other in `queries`: the rows are read once for all of them."""

    def search_arrays(
        self,
        queries: Buffer,
        k: int = 10,
        *,
        mask: Buffer | None = None,
        first_pass: Literal["auto", "exact", "certified", "int8", "bfloat16", "float16", "binary"] = "auto",
        threads: int = 0,
    ) -> tuple[memoryview, memoryview]:
        """`search_batch` with its answer in two arrays instead of tuples: ids (uint64) and scores (float32).

        Both have a row for each query, and as many columns as the query that found most has found; where one has found
        fewer, the id is 0 and the score minus infinity. One-dimensional and empty where nothing was found.
        """

    def rows(self) -> VectorArray:
        """The rows as a two-dimensional array of float32, as they are stored."""

    def ids(self) -> VectorArray:
        """The ids as an array of uint64, in the order of the rows. The last row takes the place of a removed one."""

    def __len__(self) -> int: ...
    def __contains__(self, id: int, /) -> bool: ...
    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""

    @property
    def memory_bytes(self) -> int:
        """Bytes that its arrays take."""

@final
class SharedCounters:
    """An instance's own counters in shared memory: it writes them, the guardian reads them without a frame.

    A sealed memfd: nobody can make it smaller (its reader would die of SIGBUS) or map it to write. One process writes
    it, with any number of threads. Metrics, never truth: whoever writes may write anything.
    """

    def __new__(cls) -> SharedCounters:
        """New, full of zeros. A confined process can make none: it gets one through the fork. Raises OSError."""

    def detach_fd(self) -> int:
        """The descriptor for `SharedReader`, once; from here on it is the caller's to close. Raises ValueError."""

    def record(self, latency_us: int, ok: bool) -> None:
        """One request has ended: it took `latency_us` microseconds, and failed if not `ok`."""

    def beat(self, seq: int, busy: bool, resident_bytes: int | None = None) -> None:
        """It lives: it has applied the log up to `seq`; `busy`: it may be silent from here on, inside a gene.

        `resident_bytes`: The most memory that it has had; None: as before.
        """

    def ring(self) -> ViolationRing:
        """Where this process's refusals are recorded (`confine(ring=...)`), for the reader's `violations`.

        From here on the memory stays until the process ends.
        """

    def read(self) -> SharedReading | None:
        """What a reader would see."""

@final
class SharedReader:
    """The reading end of another process's counters. Every value is what that process says."""

    def __new__(cls, fd: int) -> SharedReader:
        """Maps it; the descriptor may be closed then. Raises OSError (EINVAL: not a sealed region of that size)."""

    def read(self) -> SharedReading | None:
        """The counters as they were together at one moment; None: the writer stands in the middle of an update."""

    def latency_us(self, shares: Sequence[float]) -> tuple[int, list[int]]:
        """How many latencies there are, and the one below which each share (0 to 1) of them lies, to within 1 %."""

    def violation_count(self) -> int:
        """How much was refused so far, as the writer says: cheap to ask for."""

    def violations(self, after: int = 0) -> list[tuple[int, str, str, int, str, int]]:
        """`(number, layer, call, errno, path, time_ns)`, oldest first, with numbers above `after`; untrusted text."""

@final
class SharedReading:
    """Counters as they were together at one moment."""

    @property
    def seq(self) -> int:
        """The last entry of the log that is applied there."""

    @property
    def requests(self) -> int:
        """Requests that have ended."""

    @property
    def latency_us(self) -> int:
        """What they took, added up, in microseconds."""

    @property
    def errors(self) -> int:
        """Those that failed."""

    @property
    def heartbeat_ns(self) -> int:
        """CLOCK_MONOTONIC of the last heartbeat; 0: none yet."""

    @property
    def busy(self) -> bool:
        """It may be silent for a while: it is inside a gene."""

    @property
    def resident_bytes(self) -> int:
        """The most memory that it has had resident; 0: not said yet."""

def set_parent_death_signal(signal: int) -> None:
    """Has `signal` sent to this process when the thread that made it ends; 0 takes that back.

    A parent that has gone already is not noticed: compare os.getppid() after the call. Raises OSError.
    """

def adopt_orphans() -> None:
    """Whoever is left behind by a process below this one becomes its child, to be waited for. Raises OSError."""

def set_short_turns() -> None:
    """The thread that calls asks the scheduler for the shortest turns (0.1 ms; Linux 6.12): it gets no more of the
    machine, but gets it when it wakes. Threads and processes that it starts have ordinary turns. Raises OSError.
    """

def set_small_pages() -> None:
    """Has this process take its memory in small pages from here on, not in huge ones of 2 MB. Raises OSError."""

def give_back_memory() -> None:
    """Gives whole free pages of the heap back to the system: after a fork they are this process' own. About 0.3 ms."""

def fill_holes() -> None:
    """Uses up, for good, the free pieces of memory between what is in use, of Python's objects and of malloc's heap.

    For a process that forks: a child that uses such a piece copies the page of it, what comes later lies together.
    It takes up to a megabyte, and some milliseconds. Raises OSError.
    """

def keep_originals() -> None:
    """Keeps what this process' memory says now for the forks to come: see `share_again`.

    For a process with one thread, when all is loaded that forks share; again if it has had others since. Its heap
    becomes a private mapping of a file in memory, in small pages; mappings of more than 16 MB stay. Raises OSError.
    """

def share_again() -> None:
    """In a fork with one thread: gives back its own copies of pages that say what they said at `keep_originals`."""

def process_rss_pss(pid: int) -> tuple[int, int, int]:
    """`(rss, pss, private)` of a process in bytes, from smaps_rollup: resident, proportional, of nobody else.

    The kernel walks all pages of it for that: about 1 ms for 100 MB; the GIL is released.

    Raises:
        ProcessLookupError: It has gone, or is a zombie.
        PermissionError: It is another user's, or not dumpable.
    """

def process_rss(pid: int) -> int:
    """Resident bytes of any process; cheap. Raises ProcessLookupError."""

def process_cpu_ns(pid: int) -> int:
    """CPU time of a process (all threads, user and system) in nanoseconds. Raises ProcessLookupError."""

class ConfinementError(OSError):
    """The kernel refused what confinement cannot do without, or a layer does not hold: the process must end."""

@final
class ViolationRing:
    """What confined processes were refused: a ring of 8 KiB in shared memory, which a fork shares.

    The latest 63 are kept. What a hostile process writes into it is read without harm, and proves nothing.
    """

    def __new__(cls) -> ViolationRing:
        """A ring of its own, in memory that is never given back; raises OSError."""

    def read(self, after: int = 0) -> list[tuple[int, str, str, int, str, int]]:
        """`(number, layer, call, errno, path, time_ns)`, oldest first, those with a number above `after`.

        number: From 1. layer: "seccomp", "landlock", "limits" or "namespaces". call: The system call's name.
        errno: What the process got; 0: it was killed for it. path: Perhaps cut, perhaps empty; untrusted text.
        time_ns: CLOCK_MONOTONIC.
        """

    def answer(self, listener: int, tell: bool) -> None:
        """Takes one refused call from a listener (see `confine`), records it if `tell`, and makes it fail.

        A call that is made only by who attacks ends its process. `listener` must have something to read; it is at its
        end (POLLHUP) when nobody is left who is confined so. Raises OSError: it is no listener.
        """

    @property
    def count(self) -> int:
        """How many there have been, as the process says."""

def confine(
    profile: str,
    *,
    read: Sequence[str] = ...,
    write: Sequence[str] = ...,
    room_bytes: int = 0,
    apart: bool = False,
    files: Sequence[str] = ...,
    socket: int | None = None,
    listener: int | None = None,
    memory_bytes: int = 0,
    cpu_s: int = 0,
    concurrent: bool = False,
    file_bytes: int = 0,
    proxy_port: int = 0,
    parent: int = 0,
    death_signal: int = 0,
    ring: ViolationRing | None = None,
    layers: Sequence[str] | None = None,
) -> Literal["A", "B", "C", "X"]:
    """Confines this process, which has one thread, for good; returns its tier, "A", "B", "C" or "X".

    A: namespaces and base. B: the base (Landlock and seccomp). C: without Landlock; no file can be opened at all then.
    X: without seccomp. Root becomes nobody (uid 65534).

    Args:
        profile: "agent" (an instance: no other process, no socket but its own), "tool" (programs in one folder),
            "build" (compilers).
        read: Files and folders that may be read (and run, by tools and builds); missing ones are left out.
        write: Folders that may be written.
        room_bytes: The size of each of them, which is empty memory of its own then, gone with the process; 0: they are
            the machine's. So under tier A; under the others they are the machine's all the same.
        apart: Under tier A the process is to fork at once: the child is the first of a process namespace, which ends
            with it, and this process starts nothing else, not even a thread.
        files: Existing files that may be read and written, neither made nor removed.
        socket: The descriptor that becomes number 3; 0 to 2 lead nowhere then. None: 0 to 2 stay. All others close.
        listener: A socket to who records the refusals of a tool or a build. It is sent one descriptor, for
            `ViolationRing.answer`, and closes when the process is confined. Without one they are not recorded.
        memory_bytes: How much more memory it may have than now; 0: no limit.
        cpu_s: CPU time; 0: no limit.
        concurrent: An "agent" may start threads, and have pairs of sockets. Threads are 255 where the kernel counts
            its own only (in a user namespace); else no more than until its user has 256 processes and threads.
        file_bytes: The largest size of a file that it writes.
        proxy_port: The one TCP port of this machine's that a tool may connect to.
        parent: The process that must be its parent still; 0: whoever.
        death_signal: What it gets when its parent ends; 0: nothing.
        ring: Where refusals are recorded.
        layers: Which are put on: "identity", "limits", "namespaces", "landlock", "seccomp". All but in tests.

    Raises:
        ConfinementError: See there; the process must end.
        ValueError: No such profile or layer; nothing has changed.
    """

def probe() -> dict[str, Any]:
    """Which layers hold on this machine, found by attacks in children: {tier, layers: [{name, on, why}]}.

    Takes about 20 ms; the GIL is released. Raises OSError where no child can be made.
    """

def pack(fd: int, at: int, parts: Sequence[Buffer], tail: bytes | None = None) -> tuple[int, int, bytes]:
    """Writes parts, one after the other, as zstd frames of 2 MiB into a file from offset `at` on, on all cores.

    What would lose less than an eighth (three samples are tried) goes into frames of raw blocks. `tail` goes into a
    skippable frame behind them. Memory is bounded; the descriptor's own position stays.

    Returns:
        Bytes in the file, bytes of the parts, and the SHA-256 of the bytes in the file.

    Raises:
        OSError: The disk does not take it.
    """

def fingerprint(sections: Sequence[Buffer]) -> tuple[list[bytes], bytes]:
    """The SHA-256 of each section, and the list of their chunks for `delta`.

    Chunks are content-defined (FastCDC, 8 KiB on average), named by their BLAKE3; none spans two sections.
    """

def delta(sections: Sequence[Buffer], chunks: bytes, base_chunks: bytes, limit: int) -> tuple[bytes, bytes] | None:
    """What sections have in common with a base that has `base_chunks`; None where more than `limit` bytes are new.

    Returns:
        Runs (pairs of u64 little-endian: place in the base's content, or 2**64-1 for new bytes; size), and the new
        bytes.

    Raises:
        ValueError: A list of chunks is damaged.
    """

def file_sha256(fd: int, at: int, size: int) -> bytes:
    """The SHA-256 of a region of a file, with the GIL released.

    Raises:
        ValueError: The file ends before.
        OSError: It cannot be read.
    """

@final
class Body:
    """The body of a checkpoint, in the zstd frames of a region of a file; reads at offsets, without the GIL.

    The frames are walked at once and their sizes checked before anything is allocated for them. In all methods a
    ValueError says that bytes are not what they should be, an OSError that the file cannot be read or written.
    """

    def __new__(cls, fd: int, at: int, size: int) -> Body:
        """Of frames that fill exactly `size` bytes from `at` on; the descriptor may be closed afterwards."""

    @property
    def size(self) -> int:
        """Bytes of the body, unpacked."""

    def read(self, at: int, size: int) -> bytes:
        """A small part of it."""

    def tail(self) -> bytes:
        """What lies behind the frames in a skippable one; empty where there is none."""

    def patched(self, at: int, runs: bytes, data: bytes) -> Body:
        """Another body: the runs of a delta over what begins at `at` of this one, and its new bytes.

        Raises:
            ValueError: A run leaves the base or the data.
        """

    def unpack(self, at: int, sections: Sequence[tuple[str, int, bytes]], sha256: bytes | None = None) -> bytes:
        """The sections (name, size, SHA-256) that begin at `at`, one after the other, with every digest compared.

        Args:
            at: Where the first one begins.
            sections: All of them.
            sha256: Of the region of the file; compared at the same time. A patched body has no file of its own.
        """

    def check(self, at: int, sections: Sequence[tuple[str, int, bytes]], sha256: bytes | None = None) -> None:
        """Compares as `unpack` does and keeps nothing: memory stays bounded."""

    def repack(self, fd: int, at: int, head: bytes) -> tuple[int, int, bytes]:
        """Writes `head` and the whole body into a file, as `pack` does."""

def train_dictionary(samples: Sequence[bytes], size: int = 16384) -> bytes:
    """A zstd dictionary of at most `size` bytes for blocks like the samples.

    Raises:
        ValueError: The samples are too few or too small to learn from.
    """

@final
class Dictionary:
    """A dictionary from `train_dictionary`, made ready once for many blocks."""

    def __new__(cls, data: bytes) -> Dictionary:
        """Of these bytes; raises ValueError where they cannot be used."""

    def compress(self, data: bytes) -> bytes:
        """One block as a zstd frame that says its size."""

    def decompress(self, packed: bytes, limit: int = 67108864) -> bytes:
        """What `compress` was given.

        Raises:
            ValueError: It is damaged, of another dictionary, or more than `limit` bytes.
        """
