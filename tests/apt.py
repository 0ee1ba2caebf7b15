"""Programs that the tests need, from the system's packages where that can be."""

from __future__ import annotations

import os
import shutil
import subprocess

_QUIETLY = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


def install(package: str) -> None:
    """Install a package, if this is a Debian or Ubuntu and we may."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    for command in (["update"], ["install", "-y", package]):
        subprocess.run(["apt-get", "-qq", *command], env=_QUIETLY, check=False)
