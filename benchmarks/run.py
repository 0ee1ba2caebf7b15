"""All comparisons, one table after the other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import langchain_core

from benchmarks import browsing, caches, calls, starting
from benchmarks.report import Row, print_table


@dataclass(frozen=True)
class Scale:
    """How many entries, and how often.

    - `at_maxsize`: how many times faster than LangChain's an update should be, by maxsize.
    - `work`: how often each operation of a cache is done, about.
    """

    sizes: tuple[int, ...]
    at_maxsize: dict[int, float | None]
    work: int
    memory: int
    calls: int
    panel: tuple[int, int]
    openings: int
    starts: int


FULL = Scale(
    sizes=(1_000, 10_000, 100_000),
    at_maxsize={1_000: None, 10_000: 5, 100_000: 30},
    work=400_000,
    memory=10_000,
    calls=150,
    panel=(100, 100_000),
    openings=30,
    starts=5,
)
QUICK = Scale(
    sizes=(10, 20),
    at_maxsize={10: None, 20: 5},
    work=40,
    memory=10,
    calls=1,
    panel=(5, 9),
    openings=1,
    starts=1,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, and which targets were missed. Only a crash is a failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: that it runs, not how fast")
    options = parser.parse_args(arguments)
    print(f"Python {sys.version.split()[0]}, langchain-core {langchain_core.__version__}")
    rows = measure(QUICK if options.quick else FULL)
    over = [row.what for row in rows if row.is_over]
    print("\n" + (f"Over their target: {'; '.join(over)}" if over else "All targets are met"))


def measure(scale: Scale) -> list[Row]:
    """The rows of all tables, printed meanwhile."""
    few, many = scale.panel
    return [
        *print_table("InMemoryCache", caches.operations(scale.sizes, scale.work)),
        *print_table("InMemoryCache, full", caches.updates_at_maxsize(scale.at_maxsize, scale.work)),
        *print_table("Memory", caches.memory(scale.memory)),
        *print_table("ChatOpenAI.invoke", calls.hits(scale.calls)),
        *print_table(
            "Panel", browsing.panel(few, many, scale.openings), ours=f"of {many:,}", other=f"of {few:,}"
        ),
        *print_table("Start", starting.steps(scale.starts), other=""),
    ]
