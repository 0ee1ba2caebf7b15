"""Which code is the user's own, of the notebook or a module beside it, and which is installed."""

from __future__ import annotations

import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STANDARD_LIBRARY = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}


def is_own(module: str) -> bool:
    """Whether the module is the notebook, or one that is nowhere installed."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    return module == "__main__" or loaded is None or (isinstance(file, str) and not is_installed(file))


@lru_cache(maxsize=1024)
def is_installed(file: str) -> bool:
    """Whether the file is the standard library's, or an installed package's."""
    paths = Path(file), Path(file).resolve()  # some installers make links to a folder of their own
    return any(
        not _INSTALLED.isdisjoint(path.parts) or any(map(path.is_relative_to, _STANDARD_LIBRARY))
        for path in paths
    )
