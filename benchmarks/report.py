"""The tables: a line for each comparison, printed as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["s", "B"]

_LINE = "{:<44}{:>13}{:>13}{:>9}{:>9}  {}"
_STEPS: dict[Unit, list[tuple[float, str]]] = {
    "s": [(1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
    "B": [(1e6, "MB"), (1e3, "kB"), (1, "B")],
}


@dataclass(frozen=True)
class Target:
    """What a ratio should be: at most `limit`; or, where `faster`, the other at least so many times ours."""

    limit: float
    faster: bool = False

    def __str__(self) -> str:
        return f">= {self.limit:g} x" if self.faster else f"<= {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One line of a table: our figure, the one it is compared with, and ours divided by the other."""

    what: str
    ours: float
    other: float | None = None
    ratio: float | None = None
    target: Target | None = None
    unit: Unit = "s"

    @property
    def is_over(self) -> bool:
        """Whether there is a target, and the ratio isn't within it."""
        if self.target is None or self.ratio is None:
            return False
        return 1 / self.ratio < self.target.limit if self.target.faster else self.ratio > self.target.limit

    @property
    def line(self) -> str:
        """The row as it is printed."""
        target = "" if self.target is None else str(self.target)
        verdict = "" if self.target is None else "over" if self.is_over else "ok"
        figures = [_figure(self.ours, self.unit), _figure(self.other, self.unit), self._shown_ratio]
        return _LINE.format(self.what, *figures, target, verdict).rstrip()

    @property
    def _shown_ratio(self) -> str:
        if self.ratio is None:
            return ""
        is_faster = self.target is not None and self.target.faster
        return f"{1 / self.ratio:.1f} x" if is_faster else f"{self.ratio:.2f}"


def print_table(
    title: str, rows: Iterable[Row], *, ours: str = "ours", other: str = "LangChain"
) -> list[Row]:
    """Prints the rows under their headings, each as soon as it comes. Returns them."""
    print("\n" + _LINE.format(title, ours, other, "ratio", "target", "").rstrip(), flush=True)
    printed = []
    for row in rows:
        print(row.line, flush=True)
        printed.append(row)
    return printed


def _figure(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    step, name = next((pair for pair in _STEPS[unit] if value >= pair[0]), _STEPS[unit][-1])
    return f"{value / step:.3g} {name}"
