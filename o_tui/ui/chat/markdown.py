"""Markdown as lines of styled text. Pure: a source, a width and styles give the same lines every time.

Raw HTML stays text, links are shown with their address and are not clickable, nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len
from rich.style import Style

from o_tui.ui.chat.paint import Paint, styled, wrap
from o_tui.ui.text import Text, safe

DEEPEST = 12
"""Nesting of quotes and lists that is still indented."""


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """CommonMark with tables and strike-through, without HTML; a line break in the source is one on the screen."""
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])


def render(source: str, width: int, paint: Paint) -> list[Text]:
    """The lines of a whole source, each at most `width` cells wide."""
    return _Renderer(paint).blocks(SyntaxTreeNode(parser().parse(source)).children, width, 0)


class _Renderer:
    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._kinds: dict[str, Callable[[SyntaxTreeNode, int, int], list[Text]]] = {
            "paragraph": self._paragraph,
            "heading": self._heading,
            "fence": self._fence,
            "code_block": self._fence,
            "bullet_list": self._list,
            "ordered_list": self._list,
            "blockquote": self._quote,
            "hr": self._rule,
            "table": self._table,
        }

    def blocks(self, nodes: list[SyntaxTreeNode], width: int, depth: int, tight: bool = False) -> list[Text]:
        lines: list[Text] = []
        for node in nodes:
            found = self._kinds.get(node.type, self._paragraph)(node, max(8, width), depth)
            if lines and not (tight and node.type != "fence"):
                lines.append(Text())
            lines.extend(found)
        return lines

    def _paragraph(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        return wrap(self._inline(node), width)

    def _heading(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        text = self._inline(node)
        text.stylize_before(self._paint["heading"])
        lines = wrap(text, width)
        if node.tag == "h1":
            lines.append(
                Text(self._paint.glyphs.line * min(width, max(line.cell_len for line in lines)), self._paint["rule"])
            )
        return lines

    def _fence(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        base = self._paint["fence"]
        code = safe(node.content).rstrip("\n")
        lines: list[Text] = []
        for line in highlight(code, (node.info or "").split(" ")[0][:32], self._paint):
            for piece in wrap(line, width - 2):
                row = styled(" ", base)
                row.append_text(piece)
                row.append(" " * max(0, width - row.cell_len))
                row.stylize_before(base)
                lines.append(row)
        return lines

    def _list(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 0
        tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
        lines: list[Text] = []
        for item in node.children:
            mark = f"{number}. " if node.type == "ordered_list" else f"{self._paint.glyphs.bullet} "
            number += 1
            indent = cell_len(mark) if depth < DEEPEST else 0
            inner = self.blocks(item.children, width - indent, depth + 1, tight)
            if lines and not tight:
                lines.append(Text())
            for index, line in enumerate(inner or [Text()]):
                row = styled(mark if index == 0 else " " * indent, self._paint["muted"])
                row.append_text(line)
                lines.append(row)
        return lines

    def _quote(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        lines = []
        for line in self.blocks(node.children, width - 2, depth + 1):
            row = styled(f"{self._paint.glyphs.quote} ", self._paint["rule"])
            line.stylize_before(self._paint["quote"])
            row.append_text(line)
            lines.append(row)
        return lines

    def _rule(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        return [Text(self._paint.glyphs.line * min(width, 40), self._paint["rule"])]

    def _table(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Text]:
        rows = [
            [(self._inline(cell), "right" in str(cell.attrs.get("style", ""))) for cell in row.children]
            for part in node.children
            for row in part.children
        ]
        head = len(node.children[0].children) if node.children else 0
        columns = max((len(row) for row in rows), default=0)
        natural = [max(row[index][0].cell_len for row in rows if index < len(row)) for index in range(columns)]
        widths = share(natural, width - 2 * (columns - 1))
        lines: list[Text] = []
        for index, row in enumerate(rows):
            lines.extend(self._row(row, widths, self._paint["heading"] if index < head else None))
            if index == head - 1:
                lines.append(Text("  ".join(self._paint.glyphs.line * size for size in widths), self._paint["rule"]))
        return lines

    def _row(self, row: list[tuple[Text, bool]], widths: list[int], style: Style | None) -> list[Text]:
        cells = [wrap(text, widths[index]) for index, (text, _right) in enumerate(row)]
        lines = []
        for number in range(max(len(cell) for cell in cells)):
            line = Text()
            for index, cell in enumerate(cells):
                piece = cell[number] if number < len(cell) else Text()
                space = " " * (widths[index] - piece.cell_len)
                line.append("  " if index else "")
                right = row[index][1]
                line.append(space if right else "")
                line.append_text(piece)
                line.append("" if right else space)
            if style is not None:
                line.stylize_before(style)
            line.rstrip()
            lines.append(line)
        return lines

    def _inline(self, node: SyntaxTreeNode) -> Text:
        text = Text()
        if node.type != "inline" and not node.children:
            text.append(node.content)
        for child in node.children:
            self._span(child, text, Style())
        return text

    def _span(self, node: SyntaxTreeNode, text: Text, style: Style) -> None:
        paint = self._paint
        match node.type:
            case "softbreak" | "hardbreak":
                text.append("\n")
            case "code_inline":
                text.append(node.content, style + paint["code"])
            case "image":
                text.append(f"[{node.content or 'image'}] {node.attrs.get('src', '')}", style + paint["link"])
            case "link":
                start = len(text)
                self._children(node, text, style + paint["link"])
                address = safe(str(node.attrs.get("href", "")))
                if address and address != text.plain[start:]:
                    text.append(f" ({address})", style + paint["muted"])
            case "strong" | "em" | "s":
                role = {"strong": "strong", "em": "emphasis", "s": "strike"}[node.type]
                self._children(node, text, style + paint[role])
            case "inline":
                self._children(node, text, style)
            case _:
                # text, and whatever else there may be: an entity in it may stand for any character
                text.append(node.content, style)

    def _children(self, node: SyntaxTreeNode, text: Text, style: Style) -> None:
        for child in node.children:
            self._span(child, text, style)


def share(natural: list[int], room: int) -> list[int]:
    """Widths of columns: their own where they fit, else the widest give way, none below 3."""
    widths = [max(1, size) for size in natural]
    while sum(widths) > room and max(widths, default=0) > 3:
        widest = max(range(len(widths)), key=widths.__getitem__)
        rest = sorted(widths)[-2] if len(widths) > 1 else 3
        widths[widest] -= max(1, min(sum(widths) - room, widths[widest] - max(3, rest)))
    return widths


_ROLES = (
    ("Token.Keyword", "syntax.keyword"),
    ("Token.Literal.String", "syntax.string"),
    ("Token.Comment", "syntax.comment"),
    ("Token.Literal.Number", "syntax.number"),
    ("Token.Name.Function", "syntax.name"),
    ("Token.Name.Class", "syntax.name"),
    ("Token.Name.Builtin", "syntax.builtin"),
    ("Token.Name.Decorator", "syntax.builtin"),
    ("Token.Generic.Inserted", "syntax.string"),
    ("Token.Generic.Deleted", "error"),
)
HIGHLIGHT_LIMIT_CHARS = 40_000


def highlight(code: str, language: str, paint: Paint) -> list[Text]:
    """The lines of a program, coloured by Pygments where it knows the language."""
    lexer = _lexer(language) if language and len(code) <= HIGHLIGHT_LIMIT_CHARS else None
    if lexer is None:
        return [Text(line) for line in code.split("\n")]
    text, at = Text(code), 0
    for kind, value in lexer.get_tokens(code):
        name, start, at = str(kind), at, at + len(value)
        role = next((role for prefix, role in _ROLES if name.startswith(prefix)), None)
        if role:
            text.stylize(paint[role], start, at)
    return cast("list[Text]", list(text.split("\n", allow_blank=False)))[: code.count("\n") + 1]


@lru_cache(maxsize=32)
def _lexer(language: str):  # type: ignore[no-untyped-def]
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]  # here: it costs 50 ms, and most answers have no program in them
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
