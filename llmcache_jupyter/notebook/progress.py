"""How far a save or a load is: a bar, for one that takes longer than a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def progress_bar(items: Iterable[T], total: int, doing: str) -> Iterable[T]:
    """`items`, with a bar while they are taken. It goes when they are through."""
    from tqdm.auto import tqdm

    bar: Iterable[T] = tqdm(items, total=total, desc=f"llmcache: {doing}", delay=1, leave=False)
    return bar
