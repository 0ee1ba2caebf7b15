"""Why a call was not a hit: the nearest stored call, and in what it differs."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from llmcache_jupyter.caches import Entry, EntryCache, Key
from llmcache_jupyter.caches.entry import entry_id
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.prompt import asked, messages
from llmcache_jupyter.errors import EntryNotFoundError
from llmcache_jupyter.session.difference import Difference, common_prefix, differences, in_all
from llmcache_jupyter.session.fate import clock
from llmcache_jupyter.session.missed import MissedCall, MissedCalls
from llmcache_jupyter.session.scope import Mode
from llmcache_jupyter.views.explanation import ExplanationView
from llmcache_jupyter.views.format import count, seconds

_STEPS = 64
_FINALISTS = 8
_SAME_LLM_STRING, _SAME_MODEL = 0.3, 0.15
_OTHER_PROMPT = 10  # settings that may change until a wholly other prompt, with the same ones, is nearer


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call was not a hit.

    - `call`: the call; None where there was none yet, or where it was none that missed.
    - `reason`: a sentence.
    - `nearest`: the id of the stored entry that is most like it; None where nothing else matters.
    - `differences`: in what the call differs from that entry.
    - `stored_now`: whether its answer has been stored since.
    - `notes`: traps that the call holds, or that keys of its model have met.
    - `asides`: what is so by now, a sentence each.
    - `cell`: the call's cell as the notebook shows it.
    - Its text, as `print` shows it, is that of `%llmcache why`.
    """

    call: MissedCall | None
    reason: str
    nearest: str | None = None
    differences: tuple[Difference, ...] = ()
    stored_now: bool = False
    notes: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    cell: str | None = None

    def __str__(self) -> str:
        return repr(ExplanationView(self, cell_label=lambda _: self.cell))


def explain(
    call: MissedCall, backend: EntryCache, missed: MissedCalls, *, notes: Iterable[str] = ()
) -> Explanation:
    """Why this call was not a hit, as far as the entries that are there now can tell.

    - `missed`: what is known of other calls, and of entries that are no longer there.
    """
    stored = backend.get(call.key) is not None
    reason = _own_reason(call) or _made_before(missed.sent_before(call))
    if reason is not None:
        return Explanation(call, reason, stored_now=stored, notes=tuple(notes))
    nearest, found = _nearest(call, backend)
    if nearest is None or _is_far(call, nearest, backend):
        reason = _nothing(call, nearest, backend, missed)
        return Explanation(call, reason, stored_now=stored, notes=tuple(notes))
    entry = entry_id(nearest)
    reason = f"Nothing was stored for this call. The nearest, entry {entry}, differs in {in_all(found)}."
    return Explanation(call, reason, entry, tuple(found), stored, tuple(notes))


def _own_reason(call: MissedCall) -> str | None:
    """Why it missed, where that lies in no other entry."""
    if call.reason == "off":
        return "Mode off: the cache was not asked, and nothing was stored."
    if call.reason == "refresh":
        return "Mode refresh: the model was asked anew, whatever was stored."
    if call.reason == "unreachable":
        return f"The call did not reach the cache. {call.error} to have it answered from there."
    if call.reason == "failed":
        return f"The store failed ({call.error or 'no details'}), so it could not answer."
    return None if call.fate is None else call.fate.in_words(call.at)


def _made_before(call: MissedCall | None) -> str | None:
    """What became of the same call before, of which no answer was seen in the store."""
    if call is None:
        return None
    made = f"The same call was made before, at {clock(call.at)}"
    if call.mode in ("off", "readonly"):
        return f"{made} (mode {call.mode}: its answer was not stored)."
    without = "it failed, was stopped or still on its way, or the answer could not be stored"
    return f"{made}. No answer of it had been stored yet: {without}."


def _nothing(call: MissedCall, nearest: Key | None, backend: EntryCache, missed: MissedCalls) -> str:
    removed = missed.removed_since(call.at)
    if removed is not None:
        left = "Nothing that was stored then is left to compare it with"
        return f"{left}: entries were removed at {clock(removed)}."
    if nearest is not None:
        return f"Nothing was stored for {_model(call)}."
    dropped, ttl = missed.dropped_before(call.at), getattr(backend, "ttl", None)
    reason = "Nothing was stored at all."
    if dropped is not None:
        gone = count(dropped.count or 0, "entry was", "entries were")
        removal = f"{gone} too old or too many, and removed at {clock(dropped.at)}"
        reason = f"Nothing was there any more: {removal}."
    elif ttl is not None:
        reason = f"Nothing was stored, or what was has expired: entries live {seconds(ttl)}."
    return reason if ttl is None else f"{reason} `%llmcache on --ttl none` keeps entries."


def _is_far(call: MissedCall, nearest: Key, backend: EntryCache) -> bool:
    """Whether the nearest is another prompt for another model, and this one has no other entry."""
    if model_name(nearest[1]) == call.model or nearest[0] == call.key[0]:
        return False
    return backend.models().get(call.model, 0) <= (backend.get(call.key) is not None)


def _nearest(call: MissedCall, backend: EntryCache) -> tuple[Key | None, list[Difference]]:
    """The stored key that is most like the call's, which was there when it missed; and what differs."""
    best: tuple[tuple[float, float], Key, list[Difference]] | None = None
    for likeness, key in _ranked(call.key, backend.keys()):
        entry = backend.get(key)
        if entry is None or entry.stored > call.at:
            continue
        found = differences(key, call.key)
        distance = len(found) + _OTHER_PROMPT * (1 - _shared(key[0], call.key[0]))
        if best is None or (distance, -likeness) < best[0]:
            best = (distance, -likeness), key, found
    return (None, []) if best is None else best[1:]


def _shared(one: str, other: str) -> float:
    """How much of two prompts is the same, 0.5 to 1: of the words, or of beginning and end. Less is 0."""
    if one == other:
        return 1.0
    texts = ["\n".join(message.text for message in messages(prompt)) for prompt in (one, other)]
    words = [Counter(text.split()) for text in texts]
    of_words = 2 * (words[0] & words[1]).total() / max(1, words[0].total() + words[1].total())
    beginning = common_prefix(*texts)
    end = common_prefix(*(text[beginning:][::-1] for text in texts))
    shared = max(of_words, (beginning + end) / max(1, *map(len, texts)))
    return shared if shared >= 0.5 else 0.0  # a few words in common say nothing


def _ranked(wanted: Key, keys: Iterable[Key]) -> list[tuple[float, Key]]:
    """The few keys that are most like the wanted one, with how much: 0 to 2.

    - Cheap for 100,000: how much of the prompts' beginnings and ends is equal is found by halves, in 64ths,
      and only for those that could be among the few.
    """
    prompt, llm_string = wanted
    name = model_name(llm_string)
    beginnings = [prompt[: len(prompt) * step // _STEPS] for step in range(_STEPS + 1)]
    ends = [prompt[len(prompt) - len(prompt) * step // _STEPS :] for step in range(_STEPS + 1)]
    bonus: dict[str, float] = {llm_string: _SAME_LLM_STRING}
    best: list[tuple[float, int, Key]] = []
    needed = 0.0
    for number, key in enumerate(keys):
        other, configuration = key
        extra = bonus.get(configuration)
        if extra is None:
            extra = bonus[configuration] = _SAME_MODEL if model_name(configuration) == name else 0.0
        share = (min(len(prompt), len(other)) + 1) / (max(len(prompt), len(other)) + 1)
        if share + extra <= needed and other != prompt:
            continue
        if other == prompt:
            if configuration == llm_string:
                continue
            likeness = 1.5 + extra
        else:
            same = _highest(beginnings, other.startswith) + _highest(ends, other.endswith)
            likeness = min(share, same / _STEPS) + extra
        if len(best) < _FINALISTS:
            heapq.heappush(best, (likeness, -number, key))
        elif likeness > best[0][0]:
            heapq.heapreplace(best, (likeness, -number, key))
        needed = best[0][0] if len(best) == _FINALISTS else 0.0
    return [(likeness, key) for likeness, _, key in sorted(best, reverse=True)]


def _highest(parts: list[str], fits: Callable[[str], bool]) -> int:
    """The number of the last part that fits; each part holds those before it."""
    low, high = 0, _STEPS
    while low < high:
        middle = (low + high + 1) // 2
        if fits(parts[middle]):
            low = middle
        else:
            high = middle - 1
    return low


def _model(call: MissedCall) -> str:
    return f"the model {call.model}" if call.model else "this model"


def missed_call(calls: Iterable[MissedCall], what: str | None) -> MissedCall | None:
    """The latest of the calls, or the latest that goes by this id, beginning of an id or prompt; or None.

    Raises:
        EntryNotFoundError: several ids begin so.
    """
    if what is None:
        return next(iter(calls), None)
    known = list(calls)
    found = {call.id: call for call in reversed(known) if call.id.startswith(what.lower())}
    if len(found) > 1:
        some = ", ".join(list(found)[:5])
        raise EntryNotFoundError(
            f"{len(found)} calls' ids begin with {what!r} ({some}): write more of the one you mean."
        )
    words = what.split()
    said = (call for call in known if words in (asked(call.sent).split(), call.sent.split()))
    return next(iter(found.values()), None) or next(said, None)


def no_miss(hits: int) -> Explanation:
    """What there is to say before the first miss."""
    calls = f" All {hits} calls were hits." if hits > 1 else " The one call was a hit." if hits else ""
    return Explanation(None, f"No call has missed yet in this session.{calls}")


def of_an_entry(entry: Entry, *, mode: Mode, active: bool) -> Explanation:
    """What there is to say of an entry that no remembered call missed."""
    hits = f"It has answered {entry.hits} {'call' if entry.hits == 1 else 'calls'}." if entry.hits else ""
    stored = _so(f"It is stored, since {clock(entry.stored)}", mode, active)
    return Explanation(None, f"{stored} {hits}".rstrip(), entry.id, stored_now=True)


def as_of_now(explanation: Explanation, *, mode: Mode, active: bool) -> Explanation:
    """The explanation, with what the session's mode makes of the call by now."""
    asides = []
    if explanation.stored_now and explanation.call is not None:
        asides.append(_so("Its answer is stored now", mode, active))
    if not active:
        asides.append("The cache was switched off: calls since then are not seen.")
    return replace(explanation, asides=tuple(asides))


def _so(stored: str, mode: Mode, active: bool) -> str:
    """That it is stored, and what becomes of an identical call."""
    if mode in ("refresh", "off"):
        return f"{stored}, but mode {mode} asks the model all the same."
    return f"{stored}: the next identical call is a hit." if active else f"{stored}."
