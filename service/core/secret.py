"""Values that cannot be rendered in clear by accident.

`str`, `repr`, `format` and JSON encoders that fall back to `str` all give the mask; only `.reveal()` gives the text, so
every place that does is found by searching for that word.
"""

from collections.abc import Callable

SHOWN = 3


def mask_account(text: str) -> str:
    """계좌번호 mask: of the letters and digits at most the last three show; separators stay, so that accounts of brokers
    that end every number alike can be told apart."""
    shown, left = [], SHOWN if sum(map(str.isalnum, text)) > SHOWN else 0
    for character in reversed(text):
        secret = character.isalnum()
        shown.append(character if not secret or left > 0 else "*")
        left -= secret
    return "".join(reversed(shown))


class Masked:
    """Base of secret text: equal and hashable by content, silent in every rendering."""

    __slots__ = ("_text",)
    mask: Callable[[str], str] = staticmethod(lambda _text: "********")

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text in clear. Only for the wire, the database and a role that may see it."""
        return self._text

    def __str__(self) -> str:
        return type(self).mask(self._text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._text == self._text

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"{type(self).__name__} is not to be pickled")


class Secret(Masked):
    """A credential, a key, a `ci`."""

    __slots__ = ()


class AccountNumber(Masked):
    """계좌번호. Identity is the trimmed text; leading zeros count."""

    __slots__ = ()
    mask = staticmethod(mask_account)

    def __init__(self, text: str) -> None:
        super().__init__(text.strip())
