"""The Rust extension: what must be fast, or what Python cannot do (rust/, checked by stubtest)."""

__all__ = ["__version__", "check_frame", "hidden", "safe_text"]

__version__: str

def check_frame(payload: bytes, depth: int = 32) -> None:
    """Checks that `payload` is exactly one MessagePack value nested at most `depth` deep; allocates nothing.

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
