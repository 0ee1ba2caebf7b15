"""Which entries the calls of this kernel used: what they hit, and what they stored."""

from __future__ import annotations

from collections import defaultdict

from llmcache_jupyter.errors import InvalidSettingError
from llmcache_jupyter.session.events import CallEvent, Hit, Stored


class UsedEntries:
    """The ids of the entries that were hit or stored, by the cell run that did, `[7]`.

    - Clearing the statistics, or the entries, forgets none of them.
    """

    def __init__(self) -> None:
        self._ids: defaultdict[str, set[str]] = defaultdict(set)

    def note(self, cell: str, event: CallEvent) -> None:
        """Add what became of a call of this cell run."""
        if isinstance(event, (Hit, Stored)):
            self._ids[cell].add(event.id)

    def ids(self, cell: str | int | None = None) -> set[str]:
        """The ids of all of them, or of those that one cell run used: `[7]`, or 7.

        Raises:
            InvalidSettingError: no such cell used any.
        """
        if cell is None:
            return set().union(*self._ids.values())
        label = f"[{str(cell).strip().strip('[]')}]"
        if label not in self._ids:
            raise InvalidSettingError(
                f"No call of a cell {label} in this run was a hit or stored an answer. "
                f"Cells that have such calls: {_some(list(self._ids))}."
            )
        return set(self._ids[label])


def _some(cells: list[str]) -> str:
    return ", ".join(cells[-10:]) or "none"
