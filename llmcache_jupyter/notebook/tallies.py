"""What the latest run of each cell led to, for its badge."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.notebook.protocol import CellCounts
from llmcache_jupyter.session.events import Event, Hit, Miss
from llmcache_jupyter.session.scope import CellRun

# More than one notebook has cells; a kernel may live for weeks and serve many
MAX_CELLS = 1000
MAX_IDS = 1000


@dataclass(slots=True)
class Outcome:
    """What the calls for one entry led to."""

    hits: int = 0
    misses: int = 0
    failed: int = 0


@dataclass(slots=True)
class Tally:
    """What one run of a cell led to: in all, and for each of its first 1,000 entries."""

    label: str
    all: Outcome = field(default_factory=Outcome)
    seconds_saved: float | None = None
    by_id: dict[str, Outcome] = field(default_factory=dict)

    def count(self, event: Hit | Miss) -> None:
        """Add one call."""
        outcomes = [self.all]
        if event.id in self.by_id or len(self.by_id) < MAX_IDS:
            outcomes.append(self.by_id.setdefault(event.id, Outcome()))
        for outcome in outcomes:
            if isinstance(event, Hit):
                outcome.hits += 1
            elif event.reason in ("replay", "failed"):
                outcome.failed += 1
            else:
                outcome.misses += 1
        if isinstance(event, Hit) and event.seconds is not None:
            self.seconds_saved = (self.seconds_saved or 0.0) + event.seconds


class Tallies:
    """A tally for the latest run of each cell. Safe under threads."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._tallies: OrderedDict[str, tuple[CellRun, Tally]] = OrderedDict()

    def count(self, run: CellRun | None, event: Event) -> None:
        """Add what a call of this run led to; a cell that runs another one has that one's calls."""
        if (
            run is None
            or not isinstance(event, Hit | Miss)
            or (isinstance(event, Miss) and event.reason == "off")
        ):
            return
        while run.outer is not None:
            run = run.outer
        with self._lock:
            known = self._tallies.get(run.id)
            if known is None or known[0] is not run:
                known = self._tallies[run.id] = (run, Tally(run.label))
                self._tallies.move_to_end(run.id)
                if len(self._tallies) > MAX_CELLS:
                    self._tallies.popitem(last=False)
            known[1].count(event)

    def forget(self, cell: str) -> bool:
        """The cell runs anew. Returns whether something was known of it."""
        with self._lock:
            return self._tallies.pop(cell, None) is not None

    def counts(self) -> dict[str, CellCounts]:
        """The counts by cell id."""
        with self._lock:
            return {cell: _counts(tally) for cell, (_, tally) in self._tallies.items()}

    def outcomes(self, cell: str) -> dict[str, Outcome]:
        """What became of the cell's calls by entry id, in the order of the first call for each."""
        with self._lock:
            known = self._tallies.get(cell)
            return {} if known is None else dict(known[1].by_id)


def _counts(tally: Tally) -> CellCounts:
    return {
        "label": tally.label,
        "hits": tally.all.hits,
        "misses": tally.all.misses,
        "failed": tally.all.failed,
        "seconds_saved": tally.seconds_saved,
    }
