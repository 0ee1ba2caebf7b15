"""A kernel whose threads ask the session's cache while it forks: `python -m ... CHILDREN`.

Each child asks, too, and is ended after ten seconds. Prints, as JSON, how the children ended: 0 is well.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable

from llmcache_jupyter.session.cache import SessionCache
from tests.caches.contract import answer, configuration

THREADS, PATIENCE = 4, 10


def ask(cache: SessionCache, prompt: str) -> None:
    """What a model does, with an answer that is the prompt's own."""
    llm_string = configuration("model")
    if (found := cache.lookup(prompt, llm_string)) is None:
        cache.update(prompt, llm_string, answer(prompt))
    elif found[0].text != prompt:
        raise AssertionError(found)


def fork(children: int) -> list[int]:
    cache, is_over, ended = SessionCache(), threading.Event(), []
    threads = [
        threading.Thread(target=_ask_on, args=(cache, number, is_over.is_set)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for _ in range(children):
        child = os.fork()
        if not child:
            signal.alarm(PATIENCE)
            _ask_some(cache)
            os._exit(0)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    is_over.set()
    for thread in threads:
        thread.join()
    return ended


def _ask_on(cache: SessionCache, thread: int, is_over: Callable[[], bool]) -> None:
    count = 0
    while not is_over():
        count += 1
        ask(cache, f"{count % 50}")
        ask(cache, f"thread {thread}, question {count}")


def _ask_some(cache: SessionCache) -> None:
    try:
        for number in range(5):
            ask(cache, f"{number}")
            ask(cache, f"child {os.getpid()}, question {number}")
    except BaseException:
        os._exit(1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fork(int(sys.argv[1]))))
