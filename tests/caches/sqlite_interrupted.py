"""A Ctrl-C at each moment at which one can come while a store is used, or forks: `python -m ... FILE`.

After each one, a thread and a forked child store an answer. Prints, as JSON, how many moments there were in
each action, and which of them did harm.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache, connections
from tests.caches.sqlite_workers import entry

ROOM = str(Path(connections.__file__).parent)
PATIENCE = 5  # seconds, for what takes milliseconds


def came_at(moment: int, action: Callable[[], Any]) -> bool:
    """Whether the action took so long. Python looks for interrupts where calls begin and where C's return."""
    left = moment

    def look(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(ROOM):
            left -= 1
            if left == -1:
                raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        sys.setprofile(look)
        action()
    sys.setprofile(None)
    return left < 0


def harm(cache: SQLiteCache) -> str:
    """What is wrong by now, or nothing."""
    thread = threading.Thread(target=cache.put, args=(entry("from a thread"),), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        return "a thread waits"
    began = time.monotonic()
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        with suppress(BaseException):
            cache.put(entry("from a child"))
            os._exit(0)
        os._exit(1)
    if time.monotonic() - began > PATIENCE:
        return "a fork waits"
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return f"a child ended with {ended}" if ended else ""


def fork() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def interrupt_everywhere(path: Path) -> dict[str, list[Any]]:
    """The number of moments of each action, and of those after which something is wrong, with what it is."""
    cache = SQLiteCache(path)

    def look_up() -> None:
        cache.lookup(*entry("p").key)

    def store() -> None:
        cache.put(entry("p"))

    actions: dict[str, Callable[[], Any]] = {
        "look up first": look_up,
        "store first": store,
        "look up": look_up,
        "store": store,
        "list": lambda: cache.entries(Query(text="answer")),
        "count": lambda: len(cache),
        "delete": lambda: cache.delete([entry("p").id]),
        "fork": fork,
    }
    found: dict[str, list[Any]] = {}
    for name, action in actions.items():
        moment, wrong = 0, list[tuple[int, str]]()
        while len(wrong) < 3:
            if not name.endswith("first"):  # after a fork, when nothing is open
                store()
                look_up()
            if not came_at(moment, action):
                break
            if what := harm(cache):
                wrong.append((moment, what))
            moment += 1
        found[name] = [moment, wrong]
    return found


if __name__ == "__main__":
    sys.unraisablehook = lambda _: None  # an interrupt in a fork's hooks is only told there
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # such a one comes again later
    sys.stdout.write(json.dumps(interrupt_everywhere(Path(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)  # whatever may still wait
