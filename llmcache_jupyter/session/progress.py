"""Progress: what tells a user how far something long is. Who has a screen shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Hands on each of `items`, of which there are `total`, and shows how far it is in `doing` it."""

    def __call__(self, items: Iterable[T], total: int, doing: str) -> Iterable[T]: ...


def quietly(items: Iterable[T], total: int, doing: str) -> Iterable[T]:  # noqa: ARG001 (as Progress)
    """No progress is shown."""
    return items
