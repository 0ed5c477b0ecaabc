"""The table in which every result is shown: plain text that fits the terminal, and HTML for notebooks."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from rich.cells import cell_len

from preceptor.core.text import printable_line

Align = Literal["left", "right"]
GAP = "  "
"""Between two columns."""
NARROWEST = 12
"""A column of words is wrapped to this width at least; if that is not enough, the table is split."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    """Empty if the cells need no heading. A table without any column names has no header."""
    align: Align = "left"
    """"right" for numbers, which are never wrapped; "left" for words, which may be."""


@dataclass(frozen=True)
class Table:
    """A result, or a part of one, as a person reads it.

    Cells are formatted already. Text from models, servers and files may stand anywhere: it is shown on one line, with
    hidden characters escaped.

    Examples:
        >>> print(Table((Column("judge"), Column("aligned", "right")), [("embedded", "64%")], title="Judges"))
        Judges
        judge     aligned
        ─────────────────
        embedded      64%
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    warnings: Sequence[str] = ()
    """Why the numbers may mislead; printed first, each after an exclamation mark."""
    headline: str = ""
    """The result in a sentence; printed above the table."""
    notes: Sequence[str] = ()
    """Printed below the table."""
    more: Sequence["Table"] = ()
    """Further tables of the same result; printed between this one and the notes."""

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The table as plain text.

        Args:
            width: of a line in characters; the terminal's when None, 80 where there is none. A table that is wider
                wraps its words, and if that is not enough, continues below with the first column repeated.
        """
        width = width or shutil.get_terminal_size().columns
        lines = [line for warning in self.warnings for line in _wrapped(f"! {warning}", width)]
        lines += _wrapped(self.headline, width) if self.headline else []
        lines += _wrapped(self.title, width) if self.title else []
        lines += _body(self, width) if self.rows else []
        for table in self.more:
            lines += ["", *table.text(width).split("\n")]
        lines += [line for note in self.notes for line in _wrapped(note, width)]
        return "\n".join(lines)

    def html(self) -> str:
        """The table as HTML, with everything escaped."""
        parts = [f"<p>⚠ {_html(warning)}</p>" for warning in self.warnings]
        parts += [f"<p><strong>{_html(self.headline)}</strong></p>"] if self.headline else []
        parts += [_html_table(self)] if self.rows else []
        parts += [table.html() for table in self.more]
        parts += [f"<p>{_html(note)}</p>" for note in self.notes]
        return f"<div>{''.join(parts)}</div>"

    def _repr_html_(self) -> str:
        return self.html()


def pairs(rows: Sequence[tuple[str, str]], title: str = "", notes: Sequence[str] = ()) -> Table:
    """A table without a header: names and their values."""
    return Table((Column(""), Column("")), rows, title=title, notes=notes)


def _body(table: Table, width: int) -> list[str]:
    """The header and the rows, in as many blocks as the width requires."""
    cells = [[printable_line(cell) for cell in row] for row in ([c.name for c in table.columns], *table.rows)]
    widths = _widths(table.columns, cells, width)
    lines: list[str] = []
    for block in _blocks(widths, width):
        lines += [""] if lines else []
        lines += _block(table.columns, cells, widths, block)
    return lines


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """The width of each column: as wide as its widest cell, or narrower where words are wrapped to fit the width."""
    natural = [max(cell_len(cell) for cell in column) for column in zip(*cells, strict=True)]
    if _total(natural) <= width:
        return natural
    least = min(NARROWEST, max(1, (width - len(GAP)) // 2))
    most = width if len(columns) == 1 else max(least, width - len(GAP) - least)  # beside the first at its narrowest
    widths = [min(most, wide) for wide in natural]
    wrapping = [number for number, column in enumerate(columns) if column.align == "left"]
    while _total(widths) > width:
        widest = max(wrapping, key=lambda number: widths[number], default=None)
        if widest is None or widths[widest] <= least:
            break  # it is split instead
        widths[widest] -= 1
    return widths


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """The indices of the columns of each block. The first column begins every block."""
    blocks = [[0]]
    for number in range(1, len(widths)):
        if len(blocks[-1]) > 1 and _total([widths[n] for n in (*blocks[-1], number)]) > width:
            blocks.append([0])
        blocks[-1].append(number)
    return blocks


def _block(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int], block: Sequence[int]
) -> list[str]:
    lines: list[str] = []
    for row in cells:
        wrapped = [_wrapped(row[number], widths[number], whole=False) for number in block]
        height = max(len(cell) for cell in wrapped)
        for line in range(height):
            parts = [
                _aligned(cell[line] if line < len(cell) else "", widths[number], columns[number].align)
                for number, cell in zip(block, wrapped, strict=True)
            ]
            lines.append(GAP.join(parts).rstrip())
        if row is cells[0]:
            lines = [*lines, "─" * _total([widths[n] for n in block])] if any(c.name for c in columns) else []
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _aligned(text: str, width: int, align: Align) -> str:
    space = " " * max(0, width - cell_len(text))
    return text + space if align == "left" else space + text


def _wrapped(text: str, width: int, *, whole: bool = True) -> list[str]:
    """The lines of a text, broken at spaces.

    Args:
        whole: leave a word that is longer than a line as it is, so that a path can be copied; else break it.
    """
    lines, line = list[str](), ""
    for word in printable_line(text).split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        lines += [line] if line else []
        line = word
        while not whole and cell_len(line) > width:
            cut = max(1, next(n for n in range(len(line), 0, -1) if n == 1 or cell_len(line[:n]) <= width))
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]


def _html_table(table: Table) -> str:
    def cell(tag: str, text: str, column: Column) -> str:
        return f'<{tag} style="text-align: {column.align}">{_html(text)}</{tag}>'

    caption = f"<caption>{_html(table.title)}</caption>" if table.title else ""
    named = any(column.name for column in table.columns)
    head = "".join(cell("th", column.name, column) for column in table.columns) if named else ""
    rows = (
        "".join(cell("td", text, column) for text, column in zip(row, table.columns, strict=True)) for row in table.rows
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>{caption}{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _html(text: str) -> str:
    return escape(printable_line(text))
