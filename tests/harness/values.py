"""Hypothesis strategies for what users hand to `enqueue`."""

from __future__ import annotations

from hypothesis import strategies as st

from fastjobs.model.secret import SECRET_KEY

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = texts.filter(lambda key: key != SECRET_KEY)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
positional = st.lists(values, max_size=4)
keywords = st.dictionaries(keys, values, max_size=4)
