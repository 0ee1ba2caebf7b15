"""What differs between two calls, in words: `temperature 0 -> 0.2`, `message 3 (human) differs at …`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmcache_jupyter.caches import Key
from llmcache_jupyter.caches.llm_string import SECRET_NAME, configuration, redact, serialised_model
from llmcache_jupyter.caches.prompt import Message, messages, serialised_chat
from llmcache_jupyter.session.identity.schema import schema_of

_BEFORE, _AFTER = 24, 48
_SEEN = {ord(" "): "·", ord("\n"): "↵", ord("\t"): "→", ord("\r"): "␍"}
_SHOWN = 80
_NAMES = {
    "model_name": "model",
    "model_id": "model",
    "deployment_name": "model",
    "azure_deployment": "model",
    "openai_api_base": "base_url",
    "api_base": "base_url",
    "stop_sequences": "stop",
    "_type": "kind of model",
}
_SCHEMAS = ("response_format", "ls_structured_output_format", "format", "schema")
_CLASS = re.compile(r"<class '([^']+)' schema (\w+)>")
_HEADS = {"id": "class", "code": "code", "order": "order", "private": "private attributes"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two calls differ.

    - `field`: what: `temperature`, `message 3`, `tool search`.
    - `old`, `new`: what it was in the stored call and is in the one that missed, short and without secrets;
      None where there is none.
    - `words`: a sentence's part that says it; `told`: whether they hold what it was and is.
    """

    field: str
    old: str | None
    new: str | None
    words: str
    told: bool = False

    @property
    def excerpts(self) -> tuple[str | None, str | None]:
        """What was stored and what is asked, each where it is something that the words don't hold."""
        if self.told or self.old == self.new:  # secrets look alike
            return None, None
        return self.old or None, self.new or None


def differences(old: Key, new: Key) -> list[Difference]:
    """In what the call `new` differs from the stored one: the model first, then settings, then the prompt."""
    found: list[Difference] = []
    if old[1] != new[1]:
        found += list(_of_settings(old[1], new[1])) or [_in_form("configuration")]
    if old[0] != new[0]:
        found += list(_of_prompts(old[0], new[0])) or [_in_form("prompt")]
    return found


def in_all(found: Sequence[Difference]) -> str:
    """How many differences there are: `one thing`, `3 things`."""
    return "one thing" if len(found) == 1 else f"{len(found)} things"


def _in_form(field: str) -> Difference:
    return Difference(field, None, None, f"the {field} is written in another form")


def common_prefix(one: str, other: str) -> int:
    """How many characters the texts share at their beginning; found by halves, not by characters."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _of_settings(old: str, new: str) -> Iterator[Difference]:
    before, after = _named(old), _named(new)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    schemas = [name for name in changed if name in _SCHEMAS]
    for name in sorted(changed, key=lambda name: (name != "model", name)):
        was, now = before.get(name), after.get(name)
        if name == "tools" and isinstance(was, list | None) and isinstance(now, list | None):
            yield from _of_tools(was or [], now or [])
        elif name in _SCHEMAS:
            if name == schemas[0]:
                yield _of_schemas(name, was, now)
        elif name in _SPECIAL:
            yield Difference(name, None, None, _SPECIAL[name])
        else:
            yield _changed(name, was, now)


_SPECIAL = {
    "code": "the code of the model's class, or a function or constant that it uses, changed",
    "kernel": "an object among the call's arguments is another one (it has no data that tells it)",
    "order": "the properties of a schema are in another order",
    "redacted": "what looks like a credential in the configuration changed",
}


def _named(llm_string: str) -> dict[str, Any]:
    named = {_NAMES.get(name, name): value for name, value in configuration(llm_string).items()}
    model, _ = serialised_model(llm_string)
    named |= {shown: model[name] for name, shown in _HEADS.items() if name in model}
    if isinstance(named.get("class"), list):
        named["class"] = named["class"][-1]
    return {name: value for name, value in named.items() if value is not None}


def _changed(name: str, was: Any, now: Any) -> Difference:
    old, new = _texts(name, was, now)
    if old is None:
        words = f"{name} {new} was added"
    elif new is None:
        words = f"{name} {old} was removed"
    else:
        words = f"{name} {old} -> {new}" if old != new else f"{name} changed"
    return Difference(name, old, new, words, told=True)


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if SECRET_NAME.search(name):
        return "***"
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    return redact(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr))


def _texts(name: str, was: Any, now: Any) -> tuple[str | None, str | None]:
    """Both values as text; where one is long, what is around the first place in which they differ."""
    old, new = _text(name, was), _text(name, now)
    if max(len(old or ""), len(new or "")) <= _SHOWN:
        return old, new
    if old is None or new is None:
        return old and _excerpt(old, 0), new and _excerpt(new, 0)
    return _excerpts(old, new)


def _of_schemas(name: str, was: Any, now: Any) -> Difference:
    field = "structured output"
    what = "was added" if was is None else "was removed" if now is None else "schema changed"
    old, new = (_CLASS.search(str(value)) for value in (was, now))
    if old and new and old[1] == new[1]:  # of a class, a call's configuration tells the name and a digest
        schemas = schema_of(old[2]), schema_of(new[2])
        told = _of_parameters(*schemas) if all(schemas) else ""
        told = told or ": the class has other fields or descriptions"
        return Difference(field, None, None, f"{field} {what}{told}")
    return Difference(field, *_texts(name, was, now), f"{field} {what}")


def _of_tools(was: list[Any], now: list[Any]) -> Iterator[Difference]:
    before, after = ({_tool_name(tool): _tool(tool) for tool in tools} for tools in (was, now))
    differ = False
    for name in {**before, **after}:
        field = f"tool {name}"
        if name not in before:
            yield Difference(field, None, name, f"tool `{name}` was added", told=True)
        elif name not in after:
            yield Difference(field, name, None, f"tool `{name}` was removed", told=True)
        elif before[name] != after[name]:
            yield from _of_tool(name, before[name], after[name])
        else:
            continue
        differ = True
    if not differ:
        old, new = ", ".join(before), ", ".join(after)
        words = "the tools changed" if old == new else "the tools are in another order"
        yield Difference("tools", old, new, words)


def _tool(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict):
        return {"definition": tool}
    inner = tool.get("function")
    return {**tool, **inner} if isinstance(inner, dict) else tool


def _tool_name(tool: Any) -> str:
    told = _tool(tool)
    return str(told.get("name") or told.get("title") or told.get("type") or "without a name")


def _of_tool(name: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    field = f"tool {name}"
    for part in sorted({*was, *now} - {"function"}):
        old, new = was.get(part), now.get(part)
        if old == new:
            continue
        words = f"tool `{name}` changed its {part}"
        if part in ("parameters", "input_schema"):
            words += _of_parameters(old, new)
        yield Difference(field, *_texts(part, old, new), words)


def _of_parameters(old: Any, new: Any) -> str:
    before, after = ((part.get("properties") or {}) if isinstance(part, dict) else {} for part in (old, new))
    parts = [f"`{name}` was added" for name in after if name not in before]
    parts += [f"`{name}` was removed" for name in before if name not in after]
    parts += [f"`{name}` changed" for name in before if name in after and before[name] != after[name]]
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        parts.append(f"now in the order {', '.join(f'`{name}`' for name in after)}")
    return f": {', '.join(parts)}" if parts else ""


def _of_prompts(old: str, new: str) -> Iterator[Difference]:
    was, now = serialised_chat(old), serialised_chat(new)
    if (was is None) != (now is None):
        forms = ["a text" if chat is None else "a chat" for chat in (was, now)]
        yield Difference("prompt", forms[0], forms[1], f"the prompt {forms[0]} -> {forms[1]}", told=True)
    if was is None or now is None:
        said = messages(old)[-1].text, messages(new)[-1].text
        if said[0] != said[1] or was is now:
            yield _of_texts("prompt", "the prompt", *said)
        return
    said_before, said_now = messages(old), messages(new)
    first = _count_equal(was, now)
    last = _count_equal(was[first:][::-1], now[first:][::-1])
    ends = len(was) - last, len(now) - last
    paired = min(ends[0], ends[1]) - first
    for at in range(first, first + paired):
        if was[at] != now[at]:
            yield _of_messages(at, (was[at], said_before[at]), (now[at], said_now[at]))
    yield from _one_sided(said_before, range(first + paired, ends[0]), "removed")
    yield from _one_sided(said_now, range(first + paired, ends[1]), "added")


def _count_equal(one: list[Any], other: list[Any]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _one_sided(said: list[Message], places: range, verb: str) -> Iterator[Difference]:
    for at in places:
        field = f"message {at + 1}"
        text = _excerpt(redact(said[at].text), 0)
        old, new = (None, text) if verb == "added" else (text, None)
        yield Difference(field, old, new, f"{field} ({said[at].role}) was {verb}: {text!r}", told=True)


def _of_messages(
    at: int, old: tuple[dict[str, Any], Message], new: tuple[dict[str, Any], Message]
) -> Difference:
    (was, before), (now, after) = old, new
    field = f"message {at + 1}"
    if before.role != after.role:
        words = f"{field} ({before.role} -> {after.role}) is another's"
        return Difference(field, before.role, after.role, words, told=True)
    if before.text != after.text:
        return _of_texts(field, f"{field} ({after.role})", before.text, after.text)
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    name = names[0] if names else "content"
    return Difference(
        field,
        *_texts(name, was.get(name), now.get(name)),
        f"{field} ({after.role}) has another {' and '.join(names) or name}",
    )


def _of_texts(field: str, shown: str, old: str, new: str) -> Difference:
    place = common_prefix(old, new)
    words = f"{shown} differs at character {place + 1}"
    if place == len(old):
        words = f"{shown} goes on at character {place + 1}"
    elif place == len(new):
        words = f"{shown} ends at character {place}"
    elif (rest := _after_the_last(old, new, place)) is not None:
        words += f", and last at character {len(new) - rest}"
    return Difference(field, *_excerpts(redact(old), redact(new)), words)


def _after_the_last(old: str, new: str, first: int) -> int | None:
    """How many characters follow the last place in which the texts differ; None where that is the first.

    - It is another one where the texts go on alike after what an excerpt of the first shows, not to the end.
    """
    shown = first + _AFTER
    alike = new[shown : shown + _BEFORE]
    rest = common_prefix(old[first:][::-1], new[first:][::-1])
    goes_on = len(alike) == _BEFORE and alike in old[first:]
    return rest if goes_on and min(len(old), len(new)) - rest > shown else None


def _excerpts(old: str, new: str) -> tuple[str, str]:
    """A short piece of each text around the first place in which they differ, and around the last."""
    first = common_prefix(old, new)
    pieces = _told_apart(old, first, new, first)
    if (rest := _after_the_last(old, new, first)) is None:
        return pieces
    last = _told_apart(old, len(old) - rest - 1, new, len(new) - rest - 1)
    return f"{pieces[0]} {last[0]}", f"{pieces[1]} {last[1]}"


def _told_apart(old: str, old_place: int, new: str, new_place: int) -> tuple[str, str]:
    """A short piece of each text around a place, so written that they are seen to differ."""
    pieces = _excerpt(old, old_place), _excerpt(new, new_place)
    if pieces[0] == pieces[1]:  # in white space, then, which is to be seen
        return _excerpt(old, old_place, _SEEN), _excerpt(new, new_place, _SEEN)
    if _plainly(pieces[0]) == _plainly(pieces[1]):  # to the eye they are the same
        return ascii(pieces[0])[1:-1], ascii(pieces[1])[1:-1]
    return pieces


def _plainly(text: str) -> str:
    """The text as it looks: without what has no width, and accents as parts of their letters."""
    seen = "".join(one for one in text if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFC", seen)


def _excerpt(text: str, place: int, marks: dict[int, str] | None = None) -> str:
    """A short piece of the text around `place`, where there is more marked so.

    - `marks`: what to write in place of white space. Else all there is between two words is a space.
    """
    begin = max(0, place - _BEFORE)
    piece = text[begin : place + _AFTER]
    piece = piece.translate(marks) if marks else " ".join(piece.split())
    return f"{'…' * (begin > 0)}{piece}{'…' * (place + _AFTER < len(text))}"
