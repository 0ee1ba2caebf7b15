"""TieredCache under threads, over a store that is slow and at times away: every look sees what it may see."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from llmcache_jupyter import Entry, InMemoryCache, Query, StoreError, TieredCache
from llmcache_jupyter.caches.entry import Key
from tests.caches.contract import entry
from tests.fakes import wait_until

THREADS, STEPS, PROMPTS = 4, 40, "abc"
LATE = 0.003  # seconds


class Unsteady(InMemoryCache):
    """Takes its time before and after what it does; while it is away, looks and writes fail."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.is_away = self.is_quick = False
        self._chance = chance

    def _slowly(self, act: Callable[..., Any], *args: Any, can_fail: bool = True) -> Any:
        if self.is_away and can_fail:
            raise StoreError("It is away.")
        if not self.is_quick:
            time.sleep(self._chance.random() ** 3 * LATE)
        result = act(*args)
        if not self.is_quick:
            time.sleep(self._chance.random() ** 3 * LATE)
        return result

    def get(self, key: Key) -> Entry | None:
        return self._slowly(super().get, key)  # type: ignore[no-any-return]

    def put(self, entry: Entry) -> int:
        return self._slowly(super().put, entry)  # type: ignore[no-any-return]

    def put_all(self, entries: Iterable[Entry]) -> int:
        return self._slowly(lambda: sum(map(super(Unsteady, self).put, entries)))  # type: ignore[no-any-return]

    def delete(self, ids: Iterable[str]) -> int:
        return self._slowly(super().delete, ids, can_fail=False)  # type: ignore[no-any-return]

    def clear(self, **kwargs: Any) -> None:
        self._slowly(super().clear, can_fail=False)


@dataclass(frozen=True)
class Step:
    """What was done or seen under a prompt. `number`: of the answer; None is none, as after a removal."""

    kind: str
    prompt: str
    number: int | None
    begin: float
    end: float

    def is_before(self, other: Step) -> bool:
        return self.end < other.begin


class Threads:
    """Threads that store, look and remove at random, and what each of their steps did."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.slow = Unsteady(self._chance)
        self.tiers = TieredCache(InMemoryCache(), self.slow, timer=lambda: 100 * time.monotonic())
        self.steps: list[Step] = []
        self._numbers = count(1)
        self._have_ended = threading.Event()

    def run(self) -> None:
        outages = threading.Thread(target=self._go_away_and_back)
        outages.start()
        with ThreadPoolExecutor(THREADS) as pool:
            works = [pool.submit(self._work) for _ in range(THREADS)]
        self._have_ended.set()
        outages.join()
        for work in works:
            work.result()
        for self.slow.is_away in (True, False):  # an outage right after, too
            for prompt in PROMPTS:
                self.look(prompt)
        self.slow.is_quick = True
        self.tiers.close()
        wait_until(lambda: self.tiers.waiting == 0)
        for prompt in PROMPTS:
            self._note("look", prompt, time.monotonic(), self.slow.get(entry(prompt).key))
            self.look(prompt)

    def look(self, prompt: str) -> None:
        begin = time.monotonic()
        self._note("look", prompt, begin, self.tiers.get(entry(prompt).key))

    def _go_away_and_back(self) -> None:
        while not self._have_ended.wait(self._chance.random() * 0.02):
            self.slow.is_away = self._chance.random() < 0.3
        self.slow.is_away = False

    def _work(self) -> None:
        acts = [self._store, self.look, self._list, self._store_all, self._remove, self._clear]
        for _ in range(STEPS):
            (act,) = self._chance.choices(acts, weights=[6, 9, 2, 2, 2, 1])
            act(self._chance.choice(PROMPTS))

    def _store(self, prompt: str) -> None:
        self._store_each([prompt], lambda entries: self.tiers.put(entries[0]))

    def _store_all(self, prompt: str) -> None:
        self._store_each([prompt, "d"], self.tiers.put_all)

    def _store_each(self, prompts: list[str], store: Callable[[list[Entry]], object]) -> None:
        numbers = {prompt: next(self._numbers) for prompt in prompts}
        begin = time.monotonic()
        store([entry(prompt, text=str(number), stored=float(number)) for prompt, number in numbers.items()])
        self.steps += [Step("store", *told, begin, time.monotonic()) for told in numbers.items()]

    def _list(self, _: str) -> None:
        begin = time.monotonic()
        for one in self.tiers.entries(Query(limit=None)).entries:
            self._note("look", one.prompt, begin, one)

    def _remove(self, prompt: str) -> None:
        begin = time.monotonic()
        self.tiers.delete([entry(prompt).id])
        self._note("remove", prompt, begin, None)

    def _clear(self, _: str) -> None:
        begin = time.monotonic()
        self.tiers.clear()
        for prompt in PROMPTS + "d":
            self._note("remove", prompt, begin, None)

    def _note(self, kind: str, prompt: str, begin: float, seen: Entry | None) -> None:
        number = None if seen is None else int(seen.generations[0].text)
        self.steps.append(Step(kind, prompt, number, begin, time.monotonic()))


def faults(steps: list[Step]) -> list[tuple[Step, Step]]:
    """What was seen though something else had come between, with that; or None though it was stored."""
    found = []
    changes = [step for step in steps if step.kind != "look"]
    stored = {step.number: step for step in changes}
    for look in (step for step in steps if step.kind == "look"):
        others = [one for one in changes if one.prompt == look.prompt and one.number != look.number]
        if look.number is not None:
            source = stored[look.number]
            found += [(look, one) for one in others if source.is_before(one) and one.is_before(look)]
            continue
        for one in (other for other in others if other.is_before(look)):
            removals = (step for step in changes if step.kind == "remove" and step.prompt == look.prompt)
            if not any(step.end > one.begin and step.begin < look.end for step in removals):
                found.append((look, one))
    return found


@pytest.mark.soak
def test_every_look_sees_what_may_be_seen(soak_factor: int) -> None:
    for seed in range(40 * soak_factor):
        threads = Threads(seed)
        threads.run()
        assert faults(threads.steps) == []
