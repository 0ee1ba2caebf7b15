"""With this folder on PYTHONPATH, Python connects to nothing, not even to this machine.

A kernel talks to its front end through ZeroMQ, whose sockets are not Python's: that still works.
"""

from __future__ import annotations

import sys
from typing import Any

_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CONNECTING and isinstance(address := arguments[1], tuple):
        raise ConnectionRefusedError(f"{event} {address[:2]}: the network is blocked")


sys.addaudithook(_refuse)
