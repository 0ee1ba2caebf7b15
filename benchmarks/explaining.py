"""`%llmcache why`: the nearest of many entries, in memory and in a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.inputs import ANSWER, CALLS, Key, fresh_keys
from benchmarks.report import Row, Target
from benchmarks.stores import fill
from benchmarks.timing import now
from llmcache_jupyter import Session

_CHANGES = (
    ("country 0?", "country 0 in {}?"),
    ('"temperature": 0.7', '"temperature": 0.9{}'),
    ("serial number 2 ", "serial number 2.5{} "),
    ("best matching", "{} best matching"),
)
"""What a call of each kind has in place of what the nearest entry has, with a number of its own."""
_numbers = count(1)


def why(size: int, rounds: int) -> Iterator[Row]:
    """Until it is explained; the median of calls that each differ in one thing. Compared with a second."""
    session = Session()
    session.activate()
    try:
        for prompt, llm_string in fresh_keys(range(size)):
            session.cache.backend.update(prompt, llm_string, [ANSWER])
        yield _row(f"why, {size:,} in memory", session, rounds)
        with TemporaryDirectory() as folder:
            path = Path(folder, "notes.sqlite")
            fill(path, size)
            session.activate(store=path)
            yield _row(f"why, {size:,} in a file", session, rounds)
            session.activate(store=None)
    finally:
        session.deactivate()


def _row(what: str, session: Session, rounds: int) -> Row:
    took = median(_explaining(session, key) for _ in range(rounds) for key in _calls(next(_numbers)))
    return Row(what, took, 1.0, took, Target(1))


def _explaining(session: Session, key: Key) -> float:
    session.cache.lookup(*key)
    begin = now()
    explanation = session.why()
    took = now() - begin
    assert explanation.nearest is not None, explanation.reason
    return took


def _calls(number: int) -> list[Key]:
    """Calls that were not made before: else that is what there is to explain."""
    keys = (call.key(at) for at, call in enumerate(CALLS))
    return [
        (prompt.replace(old, new.format(number)), llm_string.replace(old, new.format(number)))
        for (prompt, llm_string), (old, new) in zip(keys, _CHANGES, strict=True)
    ]
