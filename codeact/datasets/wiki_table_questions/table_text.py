"""The first rows of a table as pandas before 3.1 printed them on a terminal of 80 columns.

What a terminal drops from the middle of a wide table has changed between versions of pandas, and a
prompt may not: so pandas prints only the cells, and the layout is done here. One trait of the old
layout looks odd and is kept. In a shortened table, a heading gets the space that sets off numbers
by the type of one of the table's *first* columns, not by that of the column shown.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

ROWS = 5
_WIDTH = 80
_WIDEST_CELL = 50
_DOTS = " ..."


class _Column(NamedTuple):
    heading: str
    cells: list[str]
    is_number: bool

    def lines(self, *, spaced: bool) -> list[str]:
        heading = " " + self.heading if spaced else self.heading
        width = max(map(len, [heading, *self.cells]))
        cells = [cell.rjust(min(width, _WIDEST_CELL)).ljust(width) for cell in self.cells]
        return [heading.rjust(width), *cells]


def shown(table: "DataFrame") -> str:
    """Print the first five rows, columns from the middle left out as the width demands."""
    head = table.head(ROWS)
    columns = [_column(head, position) for position in range(len(head.columns))]
    marks = [str(mark) for mark in head.index]
    widest = max(map(len, marks), default=0)
    index = [mark.ljust(widest) for mark in ["", *marks]]
    blocks = [column.lines(spaced=column.is_number) for column in columns]
    room = _shown_columns([widest, *(len(block[0]) for block in blocks)])
    if room >= len(columns):
        return _joined([index, *blocks])
    half = room // 2
    kept = [*columns[:half], *columns[-half:]]
    spaced = [column.is_number for column in columns[: len(kept)]]
    blocks = [column.lines(spaced=space) for column, space in zip(kept, spaced, strict=True)]
    blocks.insert(half, [_DOTS] * len(index))
    return f"{_joined([index, *blocks])}\n\n[{len(head)} rows x {len(columns)} columns]"


def _column(head: "DataFrame", position: int) -> _Column:
    from pandas.api.types import is_numeric_dtype  # type: ignore[import-untyped]

    alone = head.iloc[:, [position]]
    heading = str(alone.columns[0])
    for character, escape in {"\t": "\\t", "\r": "\\r", "\n": "\\n"}.items():
        heading = heading.replace(character, escape)
    text = alone.set_axis([""], axis=1).to_string(index=True, max_colwidth=_WIDEST_CELL)
    marks = max(len(str(mark)) for mark in head.index) if len(head) else 0
    is_number = bool(is_numeric_dtype(alone.dtypes.iloc[0]))
    cells = [line[marks + 1 :] for line in text.split("\n")[1:]] if len(head) else []
    return _Column(heading, cells, is_number)


def _shown_columns(widths: list[int]) -> int:
    """How many columns fit, given the widths of the index and of every column."""
    widths = list(widths)
    if sum(widths) + len(widths) - 1 < _WIDTH:
        return len(widths) - 1
    excess = sum(widths) + len(widths) - 1 - _WIDTH + 1
    while excess > 0 and len(widths) > 1:
        excess -= widths.pop(round(len(widths) / 2)) + 1
    return max(len(widths) - 1, 2)


def _joined(blocks: list[list[str]]) -> str:
    return "\n".join(" ".join(line) for line in zip(*blocks, strict=True))
