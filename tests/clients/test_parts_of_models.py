"""What a model of one's own holds: two that hold different things never get each other's answers."""

from __future__ import annotations

import array
import asyncio
import threading
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from ipaddress import ip_network
from operator import attrgetter, itemgetter, methodcaller
from pathlib import Path, PurePosixPath, PureWindowsPath
from random import Random
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_core.language_models.llms import LLM
from langchain_openai import ChatOpenAI
from openai import OpenAI as Client
from pydantic import BaseModel, Field, PrivateAttr, SecretStr
from stand_in import StandIn

from llmcache_jupyter import CacheMissError, InMemoryCache, SessionCache
from llmcache_jupyter.session.identity.description import Description
from llmcache_jupyter.session.scope import mode
from tests.clients.conftest import MakeChat

ASKED: list[str] = []
STYLE = "pirate"


@pytest.fixture(autouse=True)
def _cached(cache: SessionCache) -> Iterator[None]:
    ASKED.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Own(SimpleChatModel):
    """A model of one's own, whose answer is what it holds."""

    @property
    def _llm_type(self) -> str:
        return "own"

    def _call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
        ASKED.append(str(messages[-1].content))
        return str(self.held())

    def held(self) -> Any:
        return ""


def ask(model: Any) -> str:
    return str(model.invoke("Hi").content)


class Voice:
    def __init__(self, voice: str) -> None:
        self.voice = voice

    def __str__(self) -> str:
        return self.voice


class Named(Own):
    name: Any = None
    profile: Any = None
    tags: Any = None
    metadata: Any = None
    verbose: Any = None
    timeout: Any = None
    client: Any = None
    session: Any = None

    def held(self) -> Any:
        return [self.name, self.profile, self.tags, self.metadata, self.verbose, self.timeout, self.client]


class Hiding(Own):
    _engine: Any = PrivateAttr(default=None)

    def __init__(self, engine: Any) -> None:
        super().__init__()
        self._engine = engine

    def held(self) -> Any:
        return self._engine


class HidingClient(ChatOpenAI):
    _voice: Any = PrivateAttr(default=None)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        answer = super()._generate(*args, **kwargs)
        answer.generations[0].message.content = str(self._voice)
        return answer


class Holding(Own):
    part: Any

    def held(self) -> Any:
        part = self.part() if callable(self.part) else self.part
        return part.say() if hasattr(part, "say") else part


def test_a_path_is_the_same_on_every_platform() -> None:
    assert ask(Holding(part=PurePosixPath("notes/one"))) == str(Path("notes/one"))
    assert ask(Holding(part=PureWindowsPath("notes/one"))) == str(Path("notes/one"))
    assert ask(Holding(part=PurePosixPath("notes/two"))) == str(Path("notes/two"))
    assert len(ASKED) == 2


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("name", "Alice", "Bob"),
        ("profile", {"a": 1}, {"a": 2}),
        ("tags", ["a"], ["b"]),
        ("metadata", {"a": 1}, {"a": 2}),
        ("verbose", False, True),
        ("timeout", 1, 2),
    ],
)
def test_a_field_of_ones_own_that_langchain_has_too(name: str, one: Any, other: Any) -> None:
    assert ask(Named(**{name: one})) != ask(Named(**{name: other}))


@pytest.mark.parametrize("name", ["client", "session"])
def test_an_object_of_ones_own_as_a_connection(name: str) -> None:
    for voice in ("a", "b", "a"):
        ask(Named(**{name: Voice(voice)}))  # type: ignore[arg-type]
    assert len(ASKED) == 2


def test_a_librarys_connection_is_none_of_what_tells_two_apart() -> None:
    for _ in range(2):
        ask(Named(client=Client(api_key="unused")))
    assert len(ASKED) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [(Voice("pirate"), Voice("judge")), (lambda: "pirate", lambda: "judge"), ([Voice("a")], [Voice("b")])],
)
def test_a_private_attribute(one: Any, other: Any) -> None:
    ask(Hiding(one))
    ask(Hiding(other))
    ask(Hiding(one))
    assert len(ASKED) == 2


def test_a_private_attribute_of_a_client(server: StandIn) -> None:
    model = HidingClient(model="stand-in", api_key=SecretStr("unused"), base_url=server.base_url)
    model._voice = Voice("pirate")
    assert ask(model) == ask(model) == "pirate"
    model._voice.voice = "judge"
    assert ask(model) == "judge"
    assert server.requests == 2


def test_a_librarys_private_object_is_none_of_what_tells_two_apart() -> None:
    for _ in range(2):
        ask(Hiding(Client(api_key="unused")))
    assert len(ASKED) == 1


def respond() -> str:
    return f"{STYLE}{suffix()}"


def suffix() -> str:
    return "!"


class TestAFunction:
    def test_what_it_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = Holding(part=respond)
        assert ask(model) == ask(model) == "pirate!"
        monkeypatch.setitem(globals(), "STYLE", "judge")
        assert ask(model) == ask(Holding(part=respond)) == "judge!"
        assert len(ASKED) == 2

    def test_what_it_calls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = Holding(part=respond)
        assert ask(model) == "pirate!"
        monkeypatch.setitem(globals(), "suffix", lambda: "?")
        assert ask(model) == "pirate?"

    def test_two_that_know_each_other(self) -> None:
        def even(n: int = 2) -> Any:
            return n == 0 or odd(n - 1)

        def odd(n: int) -> Any:
            return n != 0 and even(n - 1)

        assert ask(Holding(part=even)) == ask(Holding(part=even)) == "True"
        assert len(ASKED) == 1


def tone(said: str, value: Any = 1) -> Any:
    class Tone(Enum):
        IT = value

        def say(self) -> str:
            return f"{said} {self.value}"

    return Tone.IT


class TestAnEnumeration:
    def test_its_methods(self) -> None:
        assert [ask(Holding(part=tone(said))) for said in ("arr", "order")] == ["arr 1", "order 1"]

    def test_a_value_that_is_no_constant(self) -> None:
        assert ask(Holding(part=tone("x", [1]))) != ask(Holding(part=tone("x", [2])))

    def test_made_again_it_is_the_same(self) -> None:
        for _ in range(2):
            ask(Holding(part=tone("x", [1])))
        assert len(ASKED) == 1


class TestMuchData:
    @pytest.mark.parametrize("deep", [False, True])
    def test_what_changes_in_it(self, cache: SessionCache, deep: bool) -> None:
        def data(last: str) -> Any:
            if not deep:
                return [{"q": str(number), "a": str(number)} for number in range(1500)] + [{"a": last}]
            value: Any = [last]
            for _ in range(20):
                value = {"in": [value]}
            return value

        model = Holding(part=data("x"))
        ask(model)
        with mode("replay"):
            ask(Holding(part=data("x")))
            with pytest.raises(CacheMissError):
                ask(Holding(part=data("y")))
        inside = model.part
        while deep and isinstance(inside, dict):
            inside = inside["in"][0]
        inside[-1] = "z"
        assert "z" in ask(model)

    @pytest.mark.parametrize("many", [list, lambda numbers: dict.fromkeys(map(str, numbers), 1)])
    def test_all_of_it_is_looked_at_once(
        self, many: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[Any] = []
        of = Description.of

        def look(*args: Any, **options: Any) -> Any:
            looks.append(1)
            return of(*args, **options)

        monkeypatch.setattr(Description, "of", look)
        for count in (50_000, 50_001, 50_000):
            ask(Holding(part=many(range(count))))
        assert len(ASKED) == 2
        assert len(looks) < 1000

    @pytest.mark.parametrize(("one", "other"), [((1,), [1]), ({1: "a"}, {"1": "a"}), (1, True), (1, 1.0)])
    def test_what_json_writes_alike(self, one: Any, other: Any) -> None:
        much = list(range(3000))
        assert ask(Holding(part=[*much, one])) != ask(Holding(part=[*much, other]))

    @pytest.mark.parametrize(
        ("make", "change"),
        [
            (lambda: deque("ab"), lambda it: it.append("c")),
            (lambda: defaultdict(int, a=1), lambda it: it.update(a=2)),
            (lambda: OrderedDict(a=1, b=2), lambda it: it.move_to_end("a")),
            (lambda: bytearray(b"a"), lambda it: it.extend(b"b")),
            (lambda: array.array("i", [1]), lambda it: it.append(2)),
        ],
    )
    def test_collections_of_other_kinds(self, make: Callable[[], Any], change: Callable[[Any], None]) -> None:
        one = make()
        model = Holding(part=one)
        before = ask(model)
        assert ask(Holding(part=make())) == before
        change(one)
        assert ask(model) != before
        assert len(ASKED) == 2


class Guard(Own):
    inner: Any

    def held(self) -> Any:
        return f"checked: {self.inner.invoke('Hi').content}"


class TestAModelInAModel:
    def test_it_counts_as_langchain_writes_it(self, make_chat: MakeChat, server: StandIn) -> None:
        guard = Guard(inner=make_chat())
        assert ask(guard) == ask(guard)
        ask(Guard(inner=make_chat(max_retries=5, timeout=9)))
        assert ASKED == ["Hi"]
        ask(Guard(inner=make_chat(temperature=1)))
        ask(Guard(inner=make_chat().bind(temperature=1)))
        assert len(ASKED) == 3

    def test_a_recorded_one_is_replayed(
        self, make_chat: MakeChat, cache: SessionCache, tmp_path: Path
    ) -> None:
        ask(Guard(inner=make_chat()))
        assert max(len(entry.key[1]) for entry in cache.backend.entries().entries) < 3_000
        with mode("replay"):
            ask(Guard(inner=make_chat()))

    def test_one_that_holds_itself(self) -> None:
        model = Holding(part="x")
        model.part = SimpleNamespace(model=model)
        ask(model)
        ask(model)
        assert len(ASKED) == 1


class Plain(LLM):
    @property
    def _llm_type(self) -> str:
        return "text"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        ASKED.append("plain")
        return "plain"


class Loud(Plain):
    inner: Any

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        ASKED.append("loud")
        return f"LOUD {self.inner.invoke(prompt)}"


class PlainChat(Own):
    def held(self) -> Any:
        return "plain"


class LoudChat(Own):
    inner: Any

    def held(self) -> Any:
        return f"LOUD {self.inner.invoke('Hi').content}"


@pytest.mark.parametrize(("plain", "make_loud"), [(Plain(), Loud), (PlainChat(), LoudChat)])
def test_a_model_that_asks_another_one_the_same(plain: Any, make_loud: Any) -> None:
    loud = make_loud(inner=plain)
    for _ in range(2):
        said, other = (
            getattr(answer, "content", answer) for answer in (loud.invoke("Hi"), plain.invoke("Hi"))
        )
        assert (said, other) == ("LOUD plain", "plain")
    assert len(ASKED) == 2


class Settling(Own):
    style: str = "pirate"

    def held(self) -> Any:
        self.style = self.style.lower()
        return self.style


class TestAFieldThatACallSets:
    def test_the_users_own_change_counts(self) -> None:
        model = Settling(style="Pirate")
        assert [ask(model), ask(model)] == ["pirate", "pirate"]
        model.style = "Knight"
        assert [ask(model), ask(model)] == ["knight", "knight"]
        assert len(ASKED) == 2

    @pytest.mark.parametrize(
        "fail",
        [
            ask,
            lambda model: ThreadPoolExecutor(1).submit(ask, model).result(),
            lambda model: asyncio.run(model.ainvoke("Hi")),
        ],
        ids=["here", "in a thread", "in a task"],
    )
    def test_after_a_call_that_failed_the_users_own_change_counts(self, fail: Callable[[Any], Any]) -> None:
        class Breaking(Settling):
            def held(self) -> Any:
                if self.style == "broken":
                    raise ConnectionError
                return super().held()

        model = Breaking(style="Pirate")
        ask(model)
        model.style = "broken"
        with pytest.raises(ConnectionError):
            fail(model)
        for style in ("Knight", "Judge"):
            model.style = style
            assert ask(model) == style.lower()

    def test_in_another_class_of_that_name_it_counts(self) -> None:
        model = Settling(style="Pirate")
        ask(model)

        class Other(Own):
            style: str = "pirate"

            def held(self) -> Any:
                return f"like a {self.style}"

        Other.__name__ = Other.__qualname__ = "Settling"
        other = Other(style="Pirate")
        assert ask(other) == "like a Pirate"
        other.style = "Knight"
        assert ask(other) == "like a Knight"


class Part(BaseModel):
    level: int = 1


class Written(ChatOpenAI):
    """LangChain writes it down in full."""

    part: Part = Field(default_factory=Part)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        ASKED.append("")
        return super()._generate(*args, **kwargs)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.part, "level", 2),
        lambda model: model.extra_body.update(think=True),
        lambda model: model.extra_body["properties"].update(a=model.extra_body["properties"].pop("a")),
    ],
)
def test_what_changes_within_a_field(server: StandIn, change: Callable[[Any], None]) -> None:
    body = {"properties": {"a": 1, "b": 2}, "think": 1}
    model = Written(model="stand-in", api_key=SecretStr("unused"), base_url=server.base_url, extra_body=body)
    ask(model)
    ask(model)
    assert len(ASKED) == 1
    change(model)
    ask(model)
    assert len(ASKED) == 2


class Slotted:
    __slots__ = ("__secret", "voice")

    def __init__(self, voice: str, secret: str = "") -> None:
        self.voice = voice
        self.__secret = secret

    def say(self) -> str:
        return f"{self.voice} {self.__secret}"


class SlottedToo(Slotted):
    """Nothing but the slots of the other one, and attributes."""


class Open(BaseModel, extra="allow"):
    def say(self) -> str:
        return str(self.model_extra)


class Throwing(Random):
    def say(self) -> str:
        return str(self.random())


class Local(threading.local):
    def __init__(self, voice: str) -> None:
        self.voice = voice

    def say(self) -> str:
        return self.voice


class TestAllThatAnObjectIsMadeOf:
    @pytest.mark.parametrize(
        "make",
        [
            lambda n: Slotted(str(n)),
            lambda n: Slotted("", str(n)),
            lambda n: SlottedToo("", str(n)),
            lambda n: Open.model_validate({"voice": n}),
            lambda n: partial(Random(n).random),
        ],
    )
    def test_it_tells_two_apart(self, make: Callable[[int], Any]) -> None:
        answers = [ask(Holding(part=make(number))) for number in (1, 2, 1, 2)]
        assert (answers[0] != answers[1], answers[2:]) == (True, answers[:2])
        assert len(ASKED) == 2

    @pytest.mark.parametrize("make", [lambda n: Local(str(n)), Throwing])
    def test_what_cannot_be_seen_is_the_same_as_nothing_else(self, make: Callable[[int], Any]) -> None:
        one, other = (Holding(part=make(number)) for number in (1, 2))
        assert ask(one) != ask(other)
        assert ask(Holding(part=make(1))) == ask(one)
        assert len(ASKED) == 3


class Pair(NamedTuple):
    one: Any
    other: Any


class Waiting:
    """It works in several threads."""

    def __init__(self, voice: str) -> None:
        self.voice = voice
        self.locks = threading.Lock(), threading.RLock(), threading.Condition()
        self.signs = threading.Event(), threading.Semaphore(2)

    def __str__(self) -> str:
        return self.voice


@dataclass(slots=True)
class SlottedData:
    voice: Any


KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "what works in threads": (lambda: Waiting("a"), lambda: Waiting("b")),
    "named tuples": (lambda: Pair(1, 2), lambda: Pair(2, 1)),
    "dataclasses with slots": (lambda: SlottedData([1]), lambda: SlottedData([2])),
    "namespaces": (lambda: SimpleNamespace(a=1), lambda: SimpleNamespace(a=2)),
    "counters": (lambda: Counter("ab"), lambda: Counter("abb")),
    "read-only dicts": (lambda: MappingProxyType({"a": 1}), lambda: MappingProxyType({"a": 2})),
    "methods of texts": (lambda: partial(str.strip, " A"), lambda: partial(str.lower, " A")),
    "what takes an item": (lambda: partial(itemgetter(0), "ab"), lambda: partial(itemgetter(1), "ab")),
    "what takes an attribute": (lambda: attrgetter("voice"), lambda: attrgetter("other")),
    "what calls a method": (lambda: methodcaller("split", sep=" "), lambda: methodcaller("split", sep="a")),
    "modules": (lambda: threading, lambda: warnings),
    "addresses": (lambda: ip_network("10.0.0.0/8"), lambda: ip_network("10.0.0.0/9")),
    "time zones": (lambda: ZoneInfo("Europe/Paris"), lambda: ZoneInfo("Europe/Rome")),
    "defaults": (lambda: defaultdict(int, a=1), lambda: defaultdict(float, a=1)),
    "numbers with two parts": (lambda: 1 + 2j, lambda: 1 + 3j),
    "tuples and lists": (lambda: (1, 2), lambda: [1, 2]),
    "sets": (lambda: {1, 2}, lambda: frozenset({1, 2})),
    "queues of a length": (lambda: deque([1], 3), lambda: deque([1], 4)),
    "slices": (lambda: slice(1, 2), lambda: slice(1, 3)),
}


class Telling(Own):
    part: Any

    def held(self) -> Any:
        return self.part


@pytest.mark.parametrize(("one", "other"), KINDS.values(), ids=KINDS)
def test_a_kind_of_object_that_is_known(
    one: Callable[[], Any], other: Callable[[], Any], cache: SessionCache
) -> None:
    for make in (one, other, one, other):
        ask(Telling(part=SlottedData(make())))
    assert len(ASKED) == 2
    assert "<object>" not in str(list(cache.backend.keys()))


def test_a_module_of_ones_own_is_none_but_itself() -> None:
    for part in (ModuleType("mine"), ModuleType("mine")):
        model = Telling(part=part)
        ask(model)
        ask(model)
    assert len(ASKED) == 2


@dataclass
class Hidden:
    voice: str = field(repr=False, compare=False)


class Declared(BaseModel):
    voice: str = Field(repr=False)


class Equal:
    """To its author all of them are alike."""

    def __init__(self, voice: str) -> None:
        self.voice = voice

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise AssertionError("nobody has to ask for this")


class Speaking(ChatOpenAI):
    """LangChain writes it down, but for what it holds."""

    part: Any = None

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        answer = super()._generate(*args, **kwargs)
        part = self.part[0] if isinstance(self.part, list) else self.part
        answer.generations[0].message.content = part() if callable(part) else part.voice
        return answer


class TestAPartThatLangChainCannotWriteDown:
    @pytest.fixture
    def make(self, server: StandIn) -> Callable[[Any], Speaking]:
        key = SecretStr("unused")
        return lambda part: Speaking(part=part, model="stand-in", api_key=key, base_url=server.base_url)

    @pytest.mark.parametrize("kind", [Voice, Hidden, Declared, Equal])
    def test_what_changes_inside(
        self, make: Callable[[Any], Speaking], server: StandIn, kind: Callable[..., Any]
    ) -> None:
        for model in (make(kind(voice="pirate")), make([kind(voice="pirate")])):
            ask(model)
            assert ask(model) == "pirate"
            part = model.part[0] if isinstance(model.part, list) else model.part
            part.voice = "judge"
            assert ask(model) == "judge"
            model.part = kind(voice="knight")
            assert ask(model) == "knight"
            model.part = kind(voice="pirate")
        assert ask(model) == "pirate"
        assert server.requests == 5

    def test_what_a_function_reads(
        self, make: Callable[[Any], Speaking], monkeypatch: pytest.MonkeyPatch, server: StandIn
    ) -> None:
        model = make(respond)
        assert ask(model) == ask(model) == "pirate!"
        monkeypatch.setitem(globals(), "STYLE", "judge")
        assert ask(model) == ask(model) == "judge!"
        assert server.requests == 2


class TestAnAddressThatIsNotAsked:
    def test_in_a_copy(self, make_chat: MakeChat, server: StandIn, cache: SessionCache) -> None:
        """LangChain's client goes on asking where it did."""
        with StandIn(port=0) as second:
            chat = make_chat()
            ask(chat.model_copy(update={"openai_api_base": second.base_url}))
            ask(make_chat())
            assert (server.requests, second.requests) == (1, 0)
            ask(ChatOpenAI(model="stand-in", api_key=SecretStr("unused"), base_url=second.base_url))
            assert (server.requests, second.requests) == (1, 1)

    def test_after_a_change(self, make_chat: MakeChat, server: StandIn, cache: SessionCache) -> None:
        chat = make_chat()
        ask(chat)
        chat.openai_api_base = "http://127.0.0.1:1/v1"
        ask(chat)
        assert server.requests == 1
        assert isinstance(cache.backend, InMemoryCache) or len(cache.backend) == 1
