"""The codec: what goes in comes out, what cannot says why, and hostile text builds nothing it should not."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcache_jupyter import DecodingError, EncodingError, Generation
from llmcache_jupyter.caches import codec

NAME = "llmcache_jupyter.caches.generation.Generation"

# text of any code points, lone surrogates among them
TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\ud83d", "🎈", "\0", '"\\', "x" * 99_999]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
GENERATIONS = st.builds(Generation, TEXT, st.none() | st.dictionaries(TEXT, VALUES))


class Planted(str):
    """Text of a class of someone's own."""


class Plain(Enum):
    ONE = 1


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Own(Generation):
    """A subclass is another class."""


def document(**fields: Any) -> str:
    known = {"type": NAME, "text": "t", "generation_info": None}
    return json.dumps({"v": 1, "generations": [known | fields]})


def nested(depth: int) -> Any:
    value: Any = "leaf"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("writer", [True, False])
@pytest.mark.parametrize("reader", [True, False])
def test_with_orjson_and_without(writer: bool, reader: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["🎈\n", "\ud83d", 1, 1.0, -0.0, True, None, 2**64, [], {"a": [{}]}, Size.SMALL, nested(90)]
    generations = [Generation("t", {"k": value}) for value in values]
    monkeypatch.setattr(codec, "_HAS_ORJSON", writer)
    texts = [codec.encode([generation]) for generation in generations]
    with pytest.raises(EncodingError, match="a value of type"):
        codec.encode([Generation("t", {"k": (1,)})])
    monkeypatch.setattr(codec, "_HAS_ORJSON", reader)
    assert [codec.decode(text) for text in texts] == [[generation] for generation in generations]


class TestRoundTrip:
    @given(st.lists(GENERATIONS, min_size=1, max_size=3))
    def test_generations_come_back_equal(self, generations: list[Any]) -> None:
        text = codec.encode(generations)
        assert codec.decode(text) == generations
        text.encode()  # no lone surrogate in it

    @given(GENERATIONS)
    def test_types_come_back_too(self, generation: Generation) -> None:
        [found] = codec.decode(codec.encode([generation]))
        assert repr(found) == repr(generation)  # 1, 1.0 and True are equal, and not the same

    def test_a_text_of_its_own_class_becomes_text(self) -> None:
        [found] = codec.decode(codec.encode([Generation(Planted("t"), {Planted("k"): Planted("v")})]))
        assert found == Generation("t", {"k": "v"})
        assert (type(found.text), type(found.generation_info["k"])) == (str, str)

    @pytest.mark.parametrize("text", ["a\nb\u2028c", "a\nb\ud800"])
    def test_it_is_one_line_with_a_version(self, text: str) -> None:
        line = codec.encode([Generation(text)])
        assert json.loads(line)["v"] == 1
        assert "\n" not in line

    @pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**30])
    def test_a_long_number_stays_one(self, number: int) -> None:
        for text in (codec.encode([Generation("t", {"n": number})]), document(generation_info={"n": number})):
            [found] = codec.decode(text)
            assert repr(found.generation_info["n"]) == repr(number)

    @pytest.mark.parametrize("value", [Colour.RED, Size.SMALL])
    def test_an_enumerations_member_becomes_what_it_is_equal_to(self, value: Any) -> None:
        [found] = codec.decode(codec.encode([Generation("t", {"k": value})]))
        assert (found.generation_info["k"], type(found.generation_info["k"])) == (value, type(value.value))

    @pytest.mark.parametrize("depth", range(95, 101))
    def test_what_may_be_written_can_be_read(self, depth: int) -> None:
        try:
            text = codec.encode([Generation("t", {"deep": nested(depth)})])
        except EncodingError:
            return
        assert codec.decode(text) == [Generation("t", {"deep": nested(depth)})]


class TestWhatCannotBeWritten:
    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (b"raw", r"a value of type builtins\.bytes"),
            (datetime(2025, 1, 1, tzinfo=UTC), r"a value of type datetime\.datetime"),
            (UUID(int=1), r"a value of type uuid\.UUID"),
            (Plain.ONE, r"a value of type .*Plain"),
            (Decimal(1), r"a value of type decimal\.Decimal"),
            (1j, r"a value of type builtins\.complex"),
            (("a",), r"a value of type builtins\.tuple"),
            ({"a"}, r"a value of type builtins\.set"),
            (OrderedDict(a=1), r"a value of type collections\.OrderedDict"),
            ({1: "a"}, r"a value of type builtins\.dict"),
            (Generation("t"), r"a value of type llmcache_jupyter\.caches\.generation\.Generation"),
            (float("nan"), "the number nan"),
            (float("-inf"), "the number -inf"),
            (10**5_000, "Exceeds the limit"),
            (nested(200), "nested deeper than 100 levels"),
        ],
        ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
    )
    def test_the_message_names_it(self, value: Any, told: str) -> None:
        for place in ({"k": value}, {"k": [{"k": value}]}):
            with pytest.raises(EncodingError, match=told):
                codec.encode([Generation("t", place)])

    @pytest.mark.parametrize("value", ["text", None, {"text": "t"}, Own("t")])
    def test_only_registered_classes(self, value: Any) -> None:
        with pytest.raises(EncodingError, match=f"an answer of type .*{type(value).__qualname__} cannot"):
            codec.encode([Generation("t"), value])

    def test_a_value_within_itself(self) -> None:
        loop: dict[str, Any] = {}
        loop["self"] = loop
        with pytest.raises(EncodingError, match="nested deeper"):
            codec.encode([Generation("t", loop)])

    def test_too_long_a_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codec, "MAX_LENGTH", 100)
        with pytest.raises(
            EncodingError, match=r"an answer of \d+ characters is too long for a store \(100\)"
        ):
            codec.encode([Generation("x" * 100)])


class TestHostileText:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "it is no JSON"),
            ("\0", "it is no JSON"),
            ("null", "it is no JSON object"),
            ("[]", "it is no JSON object"),
            ("7" * 5_000, "it is no JSON"),
            ('{"v":1', "it is no JSON"),
            ('{"v":1} {"v":1}', "it is no JSON"),
            ("{}", "it is in format None"),
            ('{"v":2}', "it is in format 2, and this version reads format 1"),
            ('{"v":true}', "it is in format True"),
            ('{"v":1.0}', r"it is in format 1\.0"),
            ('{"v":"1"}', "it is in format 1"),
            ('{"v":1}', "it holds no generations"),
            ('{"v":1,"generations":[]}', "it holds no generations"),
            ('{"v":1,"generations":{"type":"x"}}', "it holds no generations"),
            ('{"v":1,"generations":[null]}', "'None' is no type of answer"),
            ('{"v":1,"generations":[{"type":["x"]}]}', "is no type of answer"),
            (document(text=None), "its text is no text"),
            (document(text={"lc": 1}), "its text is no text"),
            (document(generation_info=[]), "its generation_info no object"),
            (document().replace('"text": "t", ', ""), r"it is no .*Generation \(KeyError\)"),
            ("[" * 100_000, "it is no JSON|nested"),
            ('{"v":' + '{"a":' * 5_000 + "1" + "}" * 5_001, "it is no JSON|nested deeper"),
            (document(generation_info={"deep": nested(150)}), "nested deeper than 100 levels"),
        ],
        ids=range(24),
    )
    def test_the_message_says_what_is_wrong(self, text: str, told: str) -> None:
        with pytest.raises(DecodingError, match=told):
            codec.decode(text)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
    def test_numbers_that_json_does_not_have(self, number: str) -> None:
        with pytest.raises(DecodingError, match=f"{number} is (no number|too large)"):
            codec.decode(document(generation_info={"n": 0}).replace(": 0}", f": {number}}}"))

    def test_the_last_of_two_equal_names_holds(self) -> None:
        text = document(text="one").replace('"generation_info"', '"text": "two", "generation_info"')
        assert codec.decode(text) == [Generation("two")]

    def test_too_long_a_text_is_not_parsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codec, "MAX_LENGTH", 100)
        with pytest.raises(DecodingError, match="101 characters are too many"):
            codec.decode(" " * 101)

    @pytest.mark.parametrize(
        "name",
        [
            "os.system", "subprocess.Popen", "builtins.eval", "antigravity.fly", "this.s", "idlelib.idle.x",
            "llmcache_jupyter.caches.memory.InMemoryCache", "llmcache_jupyter.caches.sqlite.SQLiteCache",
            "langchain_core.messages.human.HumanMessage", "langchain_core.prompts.prompt.PromptTemplate",
            "Generation", ".Generation", f"{NAME}.__class__", f"{NAME} ", "", "__main__.Generation",
        ],
    )  # fmt: skip
    def test_no_other_class_is_built_or_imported(self, name: str) -> None:
        before = set(sys.modules)
        with pytest.raises(DecodingError, match="is no type of answer that can be read"):
            codec.decode(document(type=name))
        assert set(sys.modules) == before

    def test_unknown_fields_are_left_out(self) -> None:
        assert codec.decode(document(__class__="os.system", __dict__={}, lc=1)) == [Generation("t")]

    @given(st.text())
    def test_any_text_is_an_answer_or_a_decoding_error(self, text: str) -> None:
        with pytest.raises(DecodingError):
            codec.decode(text)

    @given(st.dictionaries(st.sampled_from(["type", "text", "generation_info"]), VALUES))
    def test_any_fields_are_an_answer_or_a_decoding_error(self, fields: dict[str, Any]) -> None:
        for known in ({}, {"type": NAME}):
            try:
                found = codec.decode(json.dumps({"v": 1, "generations": [fields | known]}))
            except DecodingError:
                continue
            assert [type(one) for one in found] == [Generation]


class TestRegister:
    @pytest.fixture(autouse=True)
    def _restored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codec, "_takes", dict(codec._takes))
        monkeypatch.setattr(codec, "_builds", dict(codec._builds))

    def test_a_class_can_be_taught(self) -> None:
        codec.register(
            codec.class_name(Own("t")), lambda own: {"said": own.text}, lambda told: Own(told["said"])
        )
        assert codec.decode(codec.encode([Own("t")])) == [Own("t")]

    def test_what_building_raises_is_a_decoding_error(self) -> None:
        codec.register("x", lambda _: {}, lambda _: 1 / 0)
        with pytest.raises(DecodingError, match=r"it is no x \(ZeroDivisionError\)"):
            codec.decode(document(type="x"))
