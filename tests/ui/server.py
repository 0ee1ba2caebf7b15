"""A JupyterLab server on loopback, with a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 120
SETTINGS = {
    # the news pop-up covers the lower right corner, and --LabApp.news_url alone does not stop it
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # cells out of view would not be in the page
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


class Lab(NamedTuple):
    """A running server: where it listens, what it asks for, and the folder it serves."""

    url: str
    token: str
    root: Path


@contextlib.contextmanager
def running_lab(base: Path) -> Iterator[Lab]:
    """A server that keeps everything below `base`, and serves `base/root`."""
    lab = Lab(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16), base / "root")
    lab.root.mkdir(parents=True)
    overrides = base / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(SETTINGS))
    log = base / "lab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            _command(lab), env=_environment(base), cwd=lab.root, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_answers(lab, server, log)
        yield lab
    finally:
        _stop(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _command(lab: Lab) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        f"--port={lab.url.rpartition(':')[2]}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={lab.root}",
        f"--IdentityProvider.token={lab.token}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]


def _environment(base: Path) -> dict[str, str]:
    own = {
        "HOME": "home",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    for folder in own.values():
        (base / folder).mkdir(exist_ok=True)
    return {
        **os.environ,
        **{name: str(base / folder) for name, folder in own.items()},
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def _wait_until_it_answers(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(f"{lab.url}/api?token={lab.token}", timeout=2).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}") from None
            time.sleep(0.1)
        else:
            return


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
