"""Two ways to do the same thing, timed in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

# CPU time of this thread: what other programs take from it is not counted
now = time.thread_time

Pass = Callable[[], float]
"""Does something a number of times; returns the seconds that counted."""


@dataclass(frozen=True)
class Comparison:
    """Seconds of the two sides, and ours divided by the other's."""

    ours: float
    other: float
    ratio: float

    def each(self, count: int) -> Comparison:
        """The seconds of one of `count` times."""
        return Comparison(self.ours / count, self.other / count, self.ratio)


def in_turns(ours: Pass, other: Pass, rounds: int) -> Comparison:
    """The medians over the rounds. A round times each side twice: ours, the other, the other, ours."""
    pairs = []
    with paused_gc():
        for _ in range(rounds):
            first, second, third, fourth = ours(), other(), other(), ours()
            pairs.append(((first + fourth) / 2, (second + third) / 2))
            gc.collect(1)
    return medians(pairs)


def medians(pairs: Iterable[tuple[float, float]]) -> Comparison:
    """The medians of pairs of seconds, and of their ratios."""
    ours, other = zip(*pairs, strict=True)
    return Comparison(median(ours), median(other), median(map(float.__truediv__, ours, other)))


@contextmanager
def paused_gc() -> Iterator[None]:
    """A block without the cyclic garbage collector, which has run just before it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
