"""What two readers could read differently is refused; all other JSON is left alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.infra.strict_json import NotJson, check

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_passes(value: object) -> None:
    check(json.dumps(value, ensure_ascii=False).encode())
    check(json.dumps(value).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "\\u0061": 2}}]', b"NaN", b"[Infinity]", b"-Infinity", b"\xff",
        "{}".encode("utf-16"), b"\xef\xbb\xbf{}", b"[" * 100_000, b"9" * 5000, b'{"\\ud800": 1}', b"{} {}",
    ],
)  # fmt: skip
def test_what_readers_disagree_about_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        check(body)


def test_the_refusal_quotes_nothing_of_the_body() -> None:
    with pytest.raises(NotJson) as refused:
        check(b'{"secret-canary": 1, "secret-canary": 2}')
    assert "canary" not in str(refused.value)
