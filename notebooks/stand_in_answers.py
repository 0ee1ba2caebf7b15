"""What the stand-in server says. A reply follows from the conversation and from nothing else.

`chat_reply` tries, in this order: an exact answer given by the server's owner, the tools that fit the
question, a JSON schema to fill, the outputs of tools, and at last the rules for plain questions.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
ExactAnswer = Callable[[str], str | None]
Call = tuple[str, Json]
"""A tool's name and its arguments."""


@dataclass(frozen=True)
class Reply:
    """What the model says: a text, or the tools it wants called."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    is_data: bool = False


class Refusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def chat_reply(body: Json, exact: ExactAnswer) -> Reply:
    """The reply to the last user message of a chat request."""
    messages = body["messages"]
    last = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=0)
    question, since = text_of(messages[last]), messages[last + 1 :]
    written = _written(question, exact)
    if written is not None:
        return Reply(written)
    found = [text_of(message) for message in since if message.get("role") == "tool"]
    text = "\n".join([question, *found])
    called = {call["function"]["name"] for message in since for call in message.get("tool_calls") or []}
    calls = _tool_calls(body, question, text, called)
    if calls:
        return Reply(calls=calls)
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return Reply(json.dumps(Filler(text, wanted["json_schema"]["schema"]).value()), is_data=True)
    if found:
        return Reply(f"Here is what I found: {'; '.join(found).rstrip('.')}.")
    earlier = [text_of(message) for message in messages[:last] if message.get("role") == "user"]
    answer = _plain_answer(earlier, question)
    if wanted.get("type") == "json_object":
        return Reply(json.dumps({"answer": answer}), is_data=True)
    return Reply(answer)


def text_reply(prompt: str, exact: ExactAnswer) -> Reply:
    """The reply to one prompt of the older completions service."""
    written = _written(prompt, exact)
    return Reply(_plain_answer([], prompt) if written is None else written)


def text_of(message: Json) -> str:
    """The text of a message, whether its content is a string, a list of parts or missing."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text") or "" for part in content)


def _written(question: str, exact: ExactAnswer) -> str | None:
    answer = exact(question)
    if answer is None and "please fail" in question.lower():
        raise Refusal(500, "The stand-in fails, as it was asked to.")
    return answer


# --- tools

OPERATORS: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "plus": ("add", operator.add),
    "+": ("add", operator.add),
    "minus": ("subtract", operator.sub),
    "-": ("subtract", operator.sub),
    "times": ("multiply", operator.mul),
    "*": ("multiply", operator.mul),
    "divided by": ("divide", operator.truediv),
    "/": ("divide", operator.truediv),
}


def _tool_calls(body: Json, question: str, text: str, called: set[str]) -> tuple[Call, ...]:
    """Calls of the demanded tool, or of every tool that fits the question and was not called for it yet."""
    tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return ()
    if isinstance(choice, dict):
        named = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
        if not named:
            raise Refusal(400, f"tool_choice is {choice}, which is not among the tools.")
        return _calls_of(named[0], text)[:1]
    fresh = [tool for tool in tools if tool["name"] not in called]
    calls = tuple(call for tool in fresh if _fits(tool, question) for call in _calls_of(tool, text))
    if not calls and choice == "required":
        calls = _calls_of((fresh or tools)[-1], text)[:1]
    return calls[:1] if body.get("parallel_tool_calls") is False else calls


def _calls_of(tool: Json, text: str) -> tuple[Call, ...]:
    """One call, or one for each name if a name is all the tool asks for ("the weather in Paris and Rome")."""
    schema = tool.get("parameters") or {}
    filler = Filler(text, schema, ignored=_stems(tool["name"]))
    required = schema.get("required") or []
    if len(required) == 1 and filler.takes_a_name(schema["properties"][required[0]]):
        return tuple((tool["name"], {required[0]: name}) for name in filler.names)
    return ((tool["name"], filler.value() or {}),)


def _fits(tool: Json, question: str) -> bool:
    """Whether question and tool share a telling word, and the question has the numbers the tool needs."""
    asked = _stems(question) | {verb[:5] for sign, (verb, _) in OPERATORS.items() if f" {sign} " in question}
    filler = Filler(question, tool.get("parameters") or {})
    filler.value()
    return bool(asked & _stems(f"{tool['name']} {tool.get('description')}")) and not filler.lacked_numbers


def _stems(text: str) -> set[str]:
    """Beginnings of the telling words: "multiplied" meets multiply_numbers and MultiplyNumbers."""
    words = re.findall(r"[^\W\d_a-z]?[^\W\d_A-Z]+|[A-Z]+", text)
    return {word.lower()[:5] for word in words if len(word) > 2 and word.lower() not in COMMON}


# --- JSON schemas

COMMON_WORDS = """
a about all also an and answer any are as ask at be but by can city could did do does extract find for from
get give given has have he hello hey hi how i if in is it its let list look make my name no not number numbers
of on or our please return returns say she show so tell than that the their them then there these they this to
two use was we were what when where which who why will with would yes you your
"""
COMMON = frozenset(COMMON_WORDS.split())
FORMATS = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class Filler:
    """A value that conforms to a JSON schema, its names and numbers taken from a text in reading order.

    - If the text has no name, its whole stands for the first one. Later ones are "some title", "some city".
    - Optional properties are left out, and nullable ones null, when the text holds nothing for them. In a
      list they always are: the next name belongs to the next item.
    """

    DEEPEST = 6  # a schema may contain itself

    def __init__(self, text: str, root: Json, ignored: Iterable[str] = ()) -> None:
        self.text, self.root = text.lower(), root
        self.names = _names_in(text, {*ignored, *_stems(" ".join(root.get("properties") or {}))}) or [text]
        self.numbers = _numbers_in(text)
        self.lacked_numbers = False
        self._in_list = False

    def value(self, schema: Json | None = None, name: str = "value", depth: int = 0) -> Any:
        """A value for a part of the schema; without an argument, for all of it."""
        schema = self._plain(self.root if schema is None else schema)
        if "enum" in schema:
            return next((v for v in schema["enum"] if str(v).lower() in self.text), schema["enum"][0])
        if schema.get("nullable") and (depth > self.DEEPEST or not self._worth_it(schema)):
            return None
        match schema.get("type"):
            case "object":
                required, parts = schema.get("required") or [], schema.get("properties") or {}
                wanted = {key: part for key, part in parts.items() if key in required or self._worth_it(part)}
                return {key: self.value(part, key, depth + 1) for key, part in wanted.items()}
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return self._number(schema)
            case "boolean":
                return True
            case "null":
                return None
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        return self.names.pop(0) if self.names else f"some {name.replace('_', ' ')}"

    def takes_a_name(self, schema: Json) -> bool:
        """Whether this part of the schema is filled with a name from the text."""
        schema = self._plain(schema)
        return schema.get("type") == "string" and not {"enum", "format"} & schema.keys()

    def _plain(self, schema: Json) -> Json:
        """The schema with references followed, and the first of its alternatives that is not null."""
        if "$ref" in schema:
            target: Any = self.root
            for step in schema["$ref"].split("/")[1:]:
                target = target[step]
            return self._plain(target)
        if "const" in schema:
            return {"enum": [schema["const"]]}
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or []
        if isinstance(schema.get("type"), list):
            options = [{**schema, "type": kind} for kind in schema["type"]]
        if not options:
            return schema
        parts = [self._plain(option) for option in options]
        some = next((part for part in parts if part.get("type") != "null"), parts[0])
        return {**some, "nullable": any(part.get("type") == "null" for part in parts)}

    def _left(self, schema: Json) -> int | None:
        """How many such values the text still holds; None for what is not taken from the text."""
        schema = self._plain(schema)
        if self.takes_a_name(schema):
            return len(self.names)
        if schema.get("type") in ("integer", "number"):
            return len(self.numbers)
        parts = [self._plain(part) for part in (schema.get("properties") or {}).values()]
        counts = [self._left(part) for part in parts if part.get("type") not in ("object", "array")]
        return min((count for count in counts if count is not None), default=None)

    def _worth_it(self, schema: Json) -> bool:
        """Whether to fill what may be left out."""
        return not self._in_list and bool(self._left(schema))

    def _array(self, schema: Json, name: str, depth: int) -> list[Any]:
        item, items = schema.get("items") or {}, list[Any]()
        self._in_list, outside = True, self._in_list
        while len(items) < schema.get("minItems", 0) or (
            len(items) < schema.get("maxItems", 20) and depth <= self.DEEPEST and self._left(item)
        ):
            items.append(self.value(item, name, depth + 1))
        self._in_list = outside
        return items

    def _number(self, schema: Json) -> int | float:
        fits = [n for n in self.numbers if schema["type"] == "number" or isinstance(n, int)]
        self.lacked_numbers = self.lacked_numbers or not fits
        number: int | float = fits[0] if fits else 1
        if fits:
            self.numbers.remove(number)
        least: int | float = schema.get("minimum", schema.get("exclusiveMinimum", number - 1) + 1)
        most: int | float = schema.get("maximum", schema.get("exclusiveMaximum", number + 1) - 1)
        return min(max(number, least), most)


def _names_in(text: str, ignored: set[str]) -> list[str]:
    """Quoted passages and runs of capitalised words, in reading order."""
    found: list[str] = []
    run: list[str] = []
    for quoted, word in re.findall(r'["“]([^"”]+)["”]|(\w[\w-]*)|[^\s\w]', f"{text}."):
        if word[:1].isupper() and word.lower() not in COMMON and word.lower()[:5] not in ignored:
            run.append(word)
        else:
            found += [name for name in (" ".join(run), quoted) if name]
            run = []
    return found


def _numbers_in(text: str) -> list[int | float]:
    """The numbers of a text, in reading order."""
    written = re.findall(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,15})?", text)
    plain = [number.replace(",", "") for number in written]
    return [float(number) if "." in number else int(number) for number in plain]


# --- plain questions

CAPITALS = {
    "brazil": "Brasília", "canada": "Ottawa", "france": "Paris", "germany": "Berlin", "india": "New Delhi",
    "italy": "Rome", "japan": "Tokyo", "kenya": "Nairobi", "norway": "Oslo", "spain": "Madrid",
}  # fmt: skip
SAYINGS = {
    r"say nothing": "",
    r"\bjoke\b": "Why did the cache cross the road? It had been there before.",
    r"\bhaiku\b": "Asked a second time,\nthe answer is already here.\nThe meter stands still.",
    r"what is a cache\b": "A cache keeps answers, so that no question has to be worked out twice.",
    r"^(hello|hi|hey)\b": "Hello! What would you like to know?",
}
NAME = r"my name is ([^\W\d_][\w-]*)"
SUM = r"(-?\d+(?:\.\d+)?) *(plus|minus|times|divided by|[-+*/]) *(-?\d+(?:\.\d+)?)"


def _plain_answer(earlier: list[str], question: str) -> str:
    """The answer to a question, given what the user said earlier in the same conversation."""
    if re.search(r"what('s| is) my name", question, re.I):
        told = re.findall(NAME, "\n".join([*earlier, question]), re.I)
        return f"Your name is {told[-1]}." if told else "You have not told me your name yet."
    if name := re.search(NAME, question, re.I):
        return f"Nice to meet you, {name[1]}."
    if country := _country(earlier, question):
        known = CAPITALS.get(country.lower())
        return f"{known}." if known else f"I do not know the capital of {country}."
    if calculation := re.search(SUM, question, re.I):
        return _calculated(*calculation.groups())
    for pattern, saying in SAYINGS.items():
        if re.search(pattern, question, re.I):
            return saying
    shown = question if len(question) <= 200 else f"{question[:200]}…"
    return f"I am only a stand-in, but I heard you: “{shown}”"


def _country(earlier: list[str], question: str) -> str | None:
    """The country whose capital is asked for; after such a question, "And of Japan?" is one too."""
    asked = re.search(r"capital of ([^\W\d_]+)", question, re.I)
    if asked is None and any("capital of" in before.lower() for before in earlier):
        asked = re.search(r"^and (?:of )?([^\W\d_]+) *\?*$", question.strip(), re.I)
    return asked[1] if asked else None


def _calculated(left: str, sign: str, right: str) -> str:
    try:
        return f"{OPERATORS[sign.lower()][1](float(left), float(right)):.12g}."
    except ZeroDivisionError:
        return "Nothing can be divided by zero."
