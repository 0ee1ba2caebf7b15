"""What holds for the code that makes a call: a mode, and the cell it belongs to.

Both follow the code into tasks, and into threads that carry context variables (LangChain's do). A thread that
carries none belongs to the cell that runs at that moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from llmcache_jupyter.caches.backlog import Backlog
from llmcache_jupyter.errors import InvalidSettingError
from llmcache_jupyter.session.events import CallEvent
from llmcache_jupyter.session.statistics import Counts

Mode = Literal["on", "refresh", "readonly", "replay", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(eq=False)
class CellRun:
    """One run of a notebook cell.

    - `id`: JupyterLab's cell id, or the label where the front end gives none.
    - `label`: the execution count as the notebook shows it, `[7]`.
    - `mode`: the mode for this run, or None for the session's.
    - `outer`: the run whose code runs this one, as `%run other.ipynb` does.
    - `events`: what its latest 1,000 calls led to; `counts` counts all of them.
    """

    id: str
    label: str
    mode: Mode | None = None
    outer: CellRun | None = None

    def __post_init__(self) -> None:
        self._events: deque[CallEvent] = deque(maxlen=1000)
        self._counts = Counts()
        self._noted: Backlog[CallEvent] = Backlog(self._count)

    @property
    def events(self) -> list[CallEvent]:
        self._noted.settle()
        return list(self._events)

    @property
    def counts(self) -> Counts:
        self._noted.settle()
        return self._counts

    def note(self, event: CallEvent) -> None:
        """Add what a call of this run led to."""
        self._noted.add(event)

    def _count(self, event: CallEvent) -> None:
        self._events.append(event)
        self._counts.count(event)


_mode: ContextVar[Mode | None] = ContextVar("llmcache_mode", default=None)
_run: ContextVar[CellRun | None] = ContextVar("llmcache_cell_run", default=None)
_foreground: CellRun | None = None


def check_mode(name: str) -> Mode:
    """`name` as a mode.

    Raises:
        InvalidSettingError: there is no such mode.
    """
    if name not in MODES:
        raise InvalidSettingError(f"There is no mode {name!r}: use one of {', '.join(MODES)}.")
    return name


@contextmanager
def mode(name: str) -> Iterator[None]:
    """A block in which calls are made in this mode, whatever the session's or the cell's is."""
    token = _mode.set(check_mode(name))
    try:
        yield
    finally:
        _mode.reset(token)


def current_run() -> CellRun | None:
    """The cell run that the calling code belongs to; None outside of cells."""
    return _run.get() or _foreground


def current_scope() -> tuple[Mode | None, str | None]:
    """The mode of the innermost block or of the cell, and the cell's id; None where there is none."""
    run = _run.get() or _foreground
    if run is None:
        return _mode.get(), None
    return _mode.get() or run.mode, run.id


def start_run(run: CellRun) -> None:
    """From here on, calls belong to `run`."""
    global _foreground
    _run.set(run)
    _foreground = run


def end_run() -> None:
    """The cell has ended. Tasks and threads it left behind still belong to it."""
    global _foreground
    _run.set(None)
    _foreground = None
