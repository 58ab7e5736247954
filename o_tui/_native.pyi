"""The Rust extension: what must be fast, or what Python cannot do (rust/, checked by stubtest)."""

from collections.abc import Sequence
from typing import Final, final

from typing_extensions import Buffer

__all__ = [
    "EMBEDDER",
    "VectorIndex",
    "__version__",
    "check_frame",
    "close_range",
    "embed",
    "hidden",
    "process_cpu_ns",
    "process_rss",
    "process_rss_pss",
    "safe_text",
    "set_no_new_privs_not_dumpable",
    "set_parent_death_signal",
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

@final
class VectorIndex:
    """Vectors of one size under ids (0 to 2**64-1) in one matrix, and the exact best of them by cosine.

    Plain arrays, no threads: a fork shares it by copy-on-write. It may be used from several threads; the GIL is
    released while a search takes longer than about 50 us. `len()` and `in` work.
    """

    def __new__(cls, dimensions: int = 256) -> VectorIndex:
        """An empty index; ValueError where `dimensions` is not 1 to 16,384."""

    @staticmethod
    def from_bytes(data: Buffer) -> VectorIndex:
        """Reads what `to_bytes` wrote: the rows are copied once, as they are.

        Raises:
            ValueError: The bytes are not exactly an index.
        """

    def to_bytes(self) -> bytes:
        """All of it: header of 64 bytes, ids, rows."""

    def add(self, id: int, vector: bytes) -> None:
        """Puts a vector (float32 little-endian) under an id, in the place of the one that was there.

        It is stored with length 1; zeros stay zeros.

        Raises:
            ValueError: It has another size, or NaN or infinity in it; nothing has changed.
            MemoryError: There is no memory for it; nothing has changed.
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

    def search(self, query: bytes, k: int = 10, ids: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """The `k` nearest by cosine: `(id, score)`, best first, equal scores by id.

        Args:
            query: A vector, of any length but of the index's size.
            k: How many at most.
            ids: Only these (those that are there).

        Raises:
            ValueError: The query has another size, or NaN or infinity in it.
        """

    def __len__(self) -> int: ...
    def __contains__(self, id: int, /) -> bool: ...
    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""

    @property
    def memory_bytes(self) -> int:
        """Bytes that its arrays take."""

def set_parent_death_signal(signal: int) -> None:
    """Has `signal` sent to this process when the thread that made it ends; 0 takes that back.

    A parent that has gone already is not noticed: compare os.getppid() after the call. Raises OSError.
    """

def set_no_new_privs_not_dumpable() -> None:
    """No program that this process runs gains rights; no other process of the user may look into it; no core files.

    From then on `process_rss_pss` of it is refused to everyone but root (`process_rss` is not). Raises OSError.
    """

def close_range(first: int, last: int) -> None:
    """Closes the file descriptors `first` to `last` (both included), those that are open; raises OSError."""

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
