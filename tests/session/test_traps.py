"""Each trap is told once for each model, in words that hold nothing of a prompt."""

from __future__ import annotations

from types import SimpleNamespace

from llmcache_jupyter.session.traps import Traps

LLM = '{"kwargs": {"model_name": "gpt"}, "name": "ChatOpenAI", "type": "constructor"}---[]'


def test_once_for_each_model_and_trap() -> None:
    told: list[str] = []
    traps = Traps(told.append)
    one, other = SimpleNamespace(model_name="a"), SimpleNamespace(model_name="b")
    for _ in range(3):
        traps.bypassed(one, "uncached")
        traps.bypassed(other, "uncached")
        traps.bypassed(one, "streamed")
    assert len(told) == 3
    assert traps.notes == tuple(told)
    assert told[0].startswith("SimpleNamespace (a): this model has `cache=False`")


def test_what_a_call_holds() -> None:
    traps = Traps(lambda _: None)
    traps.look_at("An ordinary <prompt> at 0xCAFE street", LLM, "gpt")
    assert not list(traps.notes)
    secret = "The key of Ada is sk-proj-8fK3s02jXdkQ91xw <Parser object at 0x7f1234567890>"
    traps.look_at(secret, LLM.replace("[]", "[('h', 'Bearer 8fK3s02jXd')]"), "gpt")
    address, in_prompt, in_configuration = traps.notes
    assert "memory address" in address
    assert "stored as it is" in in_prompt
    assert "It is not stored" in in_configuration
    assert not any(part in str(traps.notes) for part in ("Ada", "8fK3", "7f12", "Parser"))


def test_the_notes_of_one_call() -> None:
    traps = Traps(lambda _: None)
    (held,) = traps.look_at("<Parser object at 0x7f1234567890>", LLM, "gpt")
    assert traps.look_at("<Parser object at 0x7f5678123490>", LLM, "gpt") == (held,)
    assert traps.look_at("Hi", LLM, "gpt") == ()


def test_the_notes_of_one_model_are_about_its_keys() -> None:
    traps = Traps(lambda _: None)
    traps.look_at("<Parser object at 0x7f1234567890>", LLM, "gpt")
    traps.bypassed(SimpleNamespace(model="gpt"), "uncached")
    traps.unstable(SimpleNamespace(model="other"))
    traps.changed(SimpleNamespace(model="gpt"), ["seed"])
    (note,) = traps.notes_of(LLM)
    assert "`seed` changed" in note
    assert traps.notes_of("[('model_name', 'third')]") == ()


def test_only_so_many_are_told() -> None:
    told: list[str] = []
    traps = Traps(told.append)
    for number in range(500):
        traps.bypassed(SimpleNamespace(model=str(number)), "streamed")
    assert len(told) == len(traps.notes) == 100
