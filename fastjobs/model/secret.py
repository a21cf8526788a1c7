"""Secret arguments: text that is stored like other text, and masked wherever a job is shown."""

from __future__ import annotations

import hmac
from typing import Any

#: A secret is stored as an object with this one key, which arguments may not have otherwise.
SECRET_KEY = "$secret"  # noqa: S105 - the name of a secret, not one
#: The text shown in its place.
MASK = "***"


class Secret:
    """Text that is an argument of a job and not to be seen: in `repr`, `str`, formats, listings and logs it is `***`.

    It hides the text from eyes, not from the server: see `encryption_keys` for that.

    Args:
        value: the text.

    Example:
        connect.enqueue("db1", Secret(password))

        @app.job
        def connect(host: str, password: Secret) -> None:
            login(host, password.reveal())
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if type(value) is not str:
            raise TypeError(f"a secret is a str, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """Returns the text."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode(errors="surrogatepass"), other._value.encode(errors="surrogatepass")
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def with_secrets(value: Any) -> Any:
    """Returns decoded arguments with a `Secret` wherever one was stored; what holds one is copied."""
    if type(value) is list:
        items = [with_secrets(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if type(value) is dict:
        if len(value) == 1 and type(text := value.get(SECRET_KEY)) is str:
            return Secret(text)
        pairs = {key: with_secrets(item) for key, item in value.items()}
        return value if all(pairs[key] is item for key, item in value.items()) else pairs
    return value


def masked(value: Any) -> Any:
    """Returns arguments fit to be printed: with `***` in place of each `Secret`."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    return value
