"""A real kernel, as a front end sees it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

TIMEOUT = 120


@dataclass
class Output:
    """What a cell showed: streams as text, rich outputs as mime bundles, and its error's name."""

    text: str = ""
    shown: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    traceback: str = ""

    def add(self, message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                self.text += content["text"]
            case "execute_result" | "display_data":
                self.shown.append(content["data"])
            case "error":
                self.error, self.traceback = content["ename"], "\n".join(content["traceback"])


class Kernel:
    """Runs cells as JupyterLab does, each with its id."""

    def __init__(self) -> None:
        self._manager = KernelManager()
        self._manager.start_kernel()
        self._client: BlockingKernelClient = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=TIMEOUT)

    def run(self, code: str, cell_id: str | None = None) -> Output:
        """What the cell shows. With `cell_id`, it is sent as JupyterLab does."""
        return self.finish(self.send(code, cell_id))

    def send(self, code: str, cell_id: str | None = None) -> str:
        """Have the cell run. Returns what `finish` waits for."""
        metadata = {} if cell_id is None else {"cellId": cell_id}
        content = {"code": code, "silent": False, "store_history": True, "stop_on_error": True}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def finish(self, sent: str) -> Output:
        """What a cell that was sent shows until it ends."""
        output = Output()
        while True:
            reply = self._client.get_iopub_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") != sent:
                continue
            if reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
                break
            output.add(reply)
        self._client.get_shell_msg(timeout=TIMEOUT)
        return output

    def start(self, code: str) -> None:
        """Run a cell without waiting for what it shows."""
        self._client.execute(code)

    def tell(self, kind: str, content: dict[str, Any]) -> None:
        """Send a message of this kind."""
        self._client.shell_channel.send(self._client.session.msg(kind, content))

    def until(self, kind: str) -> dict[str, Any]:
        """The content of the next message of this kind."""
        while True:
            message = self._client.get_iopub_msg(timeout=TIMEOUT)
            if message["msg_type"] == kind:
                content: dict[str, Any] = message["content"]
                return content

    def value(self, expression: str) -> str:
        """The expression's text, as the kernel shows it."""
        output = self.run(expression)
        assert output.error is None, output.traceback
        return output.shown[-1]["text/plain"]

    def complete(self, code: str) -> list[str]:
        """What the kernel offers at the end of `code`."""
        reply: dict[str, Any] = self._client.complete(code, reply=True, timeout=TIMEOUT)
        content = reply["content"]
        assert content["cursor_end"] == len(code)
        return list(content["matches"])

    def kill(self) -> None:
        """End it as a crash would."""
        pid = int(self.value("__import__('os').getpid()"))
        os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
