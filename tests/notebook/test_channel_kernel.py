"""The comms of a real kernel, as a front end sees them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmcache_jupyter.notebook.protocol import EVENTS, QUERIES, VERSION
from tests.notebook.kernel import Kernel

HOOKED = """
fired = []
get_ipython().events.register("post_execute", lambda: fired.append(1))
"""


@pytest.fixture(scope="module")
def _kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.stop()


@pytest.fixture
def kernel(_kernel: Kernel) -> Iterator[Kernel]:
    yield _kernel
    _kernel.run("%unload_ext llmcache_jupyter")


def test_announces_itself_and_says_goodbye(kernel: Kernel) -> None:
    kernel.start("%load_ext llmcache_jupyter")
    opened = kernel.until("comm_open")
    assert opened["target_name"] == EVENTS
    assert opened["data"]["session"]["active"] is False
    kernel.start("%llmcache on --maxsize 7")
    pushed = kernel.until("comm_msg")
    assert pushed["comm_id"] == opened["comm_id"]
    assert pushed["data"]["session"]["maxsize"] == 7
    kernel.start("%unload_ext llmcache_jupyter")
    assert kernel.until("comm_close")["comm_id"] == opened["comm_id"]


def test_survives_a_front_end_that_knows_nothing_of_it(kernel: Kernel) -> None:
    kernel.start("%load_ext llmcache_jupyter")
    opened = kernel.until("comm_open")
    kernel.tell("comm_close", {"comm_id": opened["comm_id"], "data": {}})
    assert kernel.run("print('still there')").text == "still there\n"
    kernel.start("%llmcache on")
    assert kernel.until("comm_open")["comm_id"] != opened["comm_id"]


def test_answers_a_query_without_what_ipython_does_after_a_cell(kernel: Kernel) -> None:
    kernel.run(f"%load_ext llmcache_jupyter\n%llmcache on\n{HOOKED}")
    kernel.run("fired.clear()")
    kernel.tell("comm_open", {"comm_id": "mine", "target_name": QUERIES, "data": {}})
    kernel.tell("comm_msg", {"comm_id": "mine", "data": {"version": VERSION, "id": 1, "kind": "models"}})
    while (reply := kernel.until("comm_msg"))["comm_id"] != "mine":
        pass
    assert reply["data"] == {"version": VERSION, "id": 1, "kind": "models", "result": []}
    assert kernel.value("len(fired)") == "1"  # after the cell that emptied it


def test_a_kernel_without_the_extension_is_only_told_no(kernel: Kernel) -> None:
    kernel.tell("comm_open", {"comm_id": "nobody", "target_name": QUERIES, "data": {}})
    assert kernel.until("comm_close")["comm_id"] == "nobody"
