"""Invented clients and accounts. Every name begins with 가상 (imaginary); nobody here exists."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from service.sandbox import calendar
from service.sandbox.account import Account, Holding, Movement, Piece
from service.sandbox.background import Dice
from service.sandbox.instruments import INSTRUMENTS, Instrument
from service.sandbox.profiles import BY_NAME, Profile


@dataclass(frozen=True, slots=True)
class Client:
    """A natural person: `ci` is the 88-character identity that is the same at every firm."""

    name: str
    ci: str
    member: bool = True
    consent_days: int = 730
    linked: bool = True


def _client(name: str, *, member: bool = True, consent_days: int = 730, linked: bool = True) -> Client:
    digest = hashlib.sha512(f"imaginary|{name}".encode()).hexdigest()
    return Client(f"가상 {name}", "SANDBOXCI" + digest[:77] + "==", member, consent_days, linked)


CLIENTS: tuple[Client, ...] = (
    _client("홍길동"), _client("김하늘"), _client("이바다"), _client("박나무"), _client("최구름"),
    _client("정노을", consent_days=20), _client("강여울"), _client("조이슬", consent_days=-3),
    _client("윤별"), _client("장솔"), _client("임숲"), _client("한들", linked=False), _client("오달", member=False),
)  # fmt: skip

# (account number, client's place above, contract: 0 in force, 1 terminated, 2 matured, settled cash in won)
_ACCOUNTS: dict[str, tuple[tuple[str, int, str, int], ...]] = {
    "cyber": (
        ("99100010001", 0, "0", 800_000_000), ("99100010002", 1, "0", 320_000_000),
        ("99100010003", 2, "0", 1_500_000_000), ("99100010004", 3, "0", 95_000_000), ("99100010005", 4, "1", 50_000_000),
    ),
    "diamond": (
        ("2100-0001-01", 0, "0", 2_000_000_000), ("2100-0002-01", 5, "0", 150_000_000),
        ("2100-0003-01", 6, "0", 640_000_000), ("2100-0004-01", 7, "0", 70_000_000), ("2100-0005-01", 8, "2", 60_000_000),
    ),
    "star": (
        ("0010203001", 1, "0", 450_000_000), ("0010203002", 9, "0", 1_100_000_000), ("0010203003", 10, "0", 260_000_000),
        ("0010203004", 2, "0", 55_000_000), ("0010203005", 3, "1", 88_000_000),
    ),
}  # fmt: skip


def accounts_of(broker: str, start: date, seed: int) -> list[Account]:
    """The accounts of `broker` on the morning of `start`, with trades of the two days before still to settle."""
    return [_open(BY_NAME[broker], place, row, start, seed) for place, row in enumerate(_ACCOUNTS[broker])]


def client_of(account: Account) -> Client:
    return next(client for client in CLIENTS if client.name == account.name)


def _open(profile: Profile, place: int, row: tuple[str, int, str, int], start: date, seed: int) -> Account:
    number, owner, contract, cash = row
    opened = start - timedelta(days=400 + 10 * place)
    virtual = f"VA{profile.code}{place + 1:011d}"
    account = Account(number, CLIENTS[owner].name, virtual, contract, opened, cash)
    account.deposits.append(Movement(opened, "DEP", "", cash, 0))
    dice = Dice(seed, number, "holdings")
    choice = sorted(INSTRUMENTS, key=lambda one: Dice(seed, number, one.isin).below(0, 60_000))[: 3 + dice.below(0, 4)]
    for one in choice:
        quantity = 20 + Dice(seed, number, one.isin).below(1, 30) * max(1, 300_000 // one.base)
        account.holdings[one.isin] = Holding(quantity, quantity * one.base * 97 // 100, opened)
    if contract == "0":
        _past_trades(profile, account, choice, start, dice.below)
    return account


def _past_trades(
    profile: Profile, account: Account, choice: list[Instrument], start: date, draw: Callable[[int, int], int]
) -> None:
    """One purchase two days before and one sale a day before, so that the first morning has something to settle."""
    yesterday = calendar.previous_trading_day(start)
    before = calendar.previous_trading_day(yesterday)
    bought, sold = choice[0], choice[1]
    account.book(profile, before, bought.isin, "buy", Piece("past-1", 5 + draw(1, 40), bought.base))
    account.book(profile, yesterday, sold.isin, "sell", Piece("past-2", 3 + draw(2, 15), sold.base))
    account.settle(start)
