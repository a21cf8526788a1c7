"""Names: what they may be made of."""

from __future__ import annotations

import pytest

from fastjobs.errors import ConfigError
from fastjobs.model.names import check_key_part, check_name


@pytest.mark.parametrize("name", ["a", "A-b_c.d:e", "0", "x" * 128, "-", "."])
def test_letters_digits_and_a_few_signs_make_a_name(name: str) -> None:
    assert check_name("job type", name) == name


@pytest.mark.parametrize("kind", ["queue", "namespace"])
def test_queues_and_namespaces_have_no_colon_because_colons_separate_them_in_keys(kind: str) -> None:
    assert check_key_part(kind, "A-b_c.d") == "A-b_c.d"
    for name in ("a:b", ":", "a:", ":a", "mail:3"):
        with pytest.raises(
            ConfigError, match=rf"^{kind} '{name}' is not a name: use 1 to 128 letters, digits or _ . -"
        ):
            check_key_part(kind, name)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 129, "a b", "a~b", "a,b", "{a}", "a\n", "\na", "a\0", "ä", "٣", "a/b", "a'b", None, 5, b"a", ["a"]],
)
def test_everything_else_is_refused_and_shown(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^job type .* is not a name: use 1 to 128"):
        check_name("job type", name)


def test_a_very_long_value_is_shown_in_part() -> None:
    with pytest.raises(ConfigError) as caught:
        check_name("job type", "x" * 100_000)
    assert len(str(caught.value)) < 300
