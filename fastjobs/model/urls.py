"""Takes server URLs apart, and writes them without their passwords.

The standard library's parser is not used: what it makes of a `#`, `/`, `?` or `[` in a password differs from release to
release, its errors show parts of the URL, and it does not know several hosts.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from fastjobs.errors import ConfigError

#: The options that a URL may have after its question mark, and whether their values may be shown.
OPTIONS = {
    **dict.fromkeys(("db", "username", "password_file", "socket_timeout", "insecure", "sentinel_username"), True),
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"), True),
    **dict.fromkeys(("ssl_cert_reqs", "ssl_check_hostname"), True),
    **dict.fromkeys(("password", "sentinel_password", "ssl_password"), False),
}
_HOST = r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.%-]+)?\]|[^\s\[\]:@/?#,]*)(?::\d*)?"
_HOSTS = rf"{_HOST}(?:,{_HOST})*"


class UrlParts(NamedTuple):
    """A server URL taken apart; user and password decoded, None = there is none."""

    scheme: str
    username: str | None
    password: str | None
    #: `host:port,host:port`; empty for a unix socket.
    hosts: str
    #: With the slash at its beginning, or empty; decoded.
    path: str
    options: dict[str, str]

    def masked(self) -> str:
        """Returns the URL as it may be shown: without passwords."""
        credentials = (self.username or "") + ("" if self.password is None else ":***")
        at = "" if self.username is None and self.password is None else "@"
        options = "&".join(f"{name}={value if OPTIONS[name] else '***'}" for name, value in self.options.items())
        return f"{self.scheme}://{credentials}{at}{self.hosts}{self.path}{'?' if options else ''}{options}"


def split_url(url: str) -> UrlParts:
    """Takes a server URL apart.

    Raises:
        ConfigError: it cannot be read, or has an unknown option. The message shows nothing that may be of a password.
    """
    scheme, rest = _scheme(url)
    if not scheme:
        raise ConfigError(
            "the server URL has no scheme that is supported; use redis://, rediss://, valkey://, unix://,"
            " redis+sentinel:// or redis+cluster://"
        )
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    is_unix = scheme == "unix"
    # A `/`, `?` or `#` in a password cuts it, and its rest is found where a path or an option should be.
    if "#" in rest or not re.fullmatch("" if is_unix else _HOSTS, hosts) or (not path if is_unix else "@" in path):
        raise unusable()
    name, colon, password = credentials.partition(":")
    return UrlParts(
        scheme,
        unquote(name) if name else None,
        unquote(password) if colon else None,
        hosts,
        unquote(slash + path),
        _options(query),
    )


def mask_url(url: str) -> str:
    """Returns a URL with `***` in place of its passwords, fit for logs; of one that cannot be read only the scheme."""
    try:
        return split_url(url).masked()
    except ConfigError:
        scheme, _ = _scheme(url)
        return f"{scheme}://***" if scheme else "***"


def unusable() -> ConfigError:
    """Returns the error for a URL that cannot be read, which shows nothing of it."""
    return ConfigError(
        "the server URL is not usable; use redis://user:password@host:port/database or unix:///path, with special"
        " characters of the password percent-encoded"
    )


def _scheme(url: str) -> tuple[str, str]:
    """Returns the scheme of a URL, empty when it has none, and what comes behind it."""
    scheme, separator, rest = url.strip().partition("://")
    return (scheme.lower(), rest) if separator and re.fullmatch(r"[A-Za-z+]+", scheme) else ("", rest)


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown and ("@" in query or not re.fullmatch(r"\w{1,40}", unknown[0])):
        raise unusable()
    if unknown:
        raise ConfigError(
            f"the server URL has an unknown option {unknown[0]!r}; the options are {', '.join(sorted(OPTIONS))}"
        )
    return options
