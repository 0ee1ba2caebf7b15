"""Where a server is, as a user writes it: `redis://:password@host:6379/0?namespace=team&timeout=0.5`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from llmcache_jupyter.errors import InvalidSettingError

_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
_ENCODE = "In a password, / is written %2F, ? is %3F, # is %23."
_EXAMPLE = "write redis://host:6379/0?namespace=team"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, taken apart.

    - `url`: what the client takes, credentials included.
    - `shown`: the address without credentials.
    - `namespace`, `timeout` (seconds): what the address tells of them, or None.
    """

    url: str
    shown: str
    namespace: str | None
    timeout: float | None


def parse(url: str) -> Address:
    """The address that `url` writes.

    Raises:
        InvalidSettingError: it writes none. The message holds no credentials.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text may hold a part of the password
        raise InvalidSettingError(f"The store's address cannot be read: {_EXAMPLE}. {_ENCODE}") from None
    if parts.scheme not in _SCHEMES:
        raise InvalidSettingError(f"There is no store at {parts.scheme}:// addresses: {_EXAMPLE}.")
    if parts.scheme != "unix" and "@" in parts.path + parts.fragment:
        raise InvalidSettingError(f"The store's address cannot be read: {_EXAMPLE}. {_ENCODE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    namespace, timeout = options.pop("namespace", None), options.pop("timeout", None)
    if namespace is not None:
        check_namespace(namespace)
    scheme = _SCHEMES[parts.scheme]
    place = f"[{host}]" if ":" in host else host
    where = f"{place}:{port}" if port else place
    return Address(
        # by hand: urlunsplit makes unix:/path of unix:///path
        url=f"{scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(options)}" if options else ""),
        shown=f"{scheme}://{where}{parts.path}",
        namespace=namespace,
        timeout=None if timeout is None else checked_timeout(timeout),
    )


def check_namespace(namespace: str) -> None:
    """Raises InvalidSettingError where keys cannot begin so."""
    if namespace == "":
        raise InvalidSettingError("A namespace needs a name: redis://host:6379/0?namespace=team.")
    if any("\ud800" <= character <= "\udfff" for character in namespace):
        raise InvalidSettingError(f"A namespace is ordinary text, which {namespace!a} is not.")


def checked_timeout(text: float | str) -> float:
    """These seconds.

    Raises:
        InvalidSettingError: they are none that one could wait.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidSettingError(f"A timeout is a number of seconds greater than 0, not {text!r}.")
    return seconds
