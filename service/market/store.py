"""Questions to the database about the market."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.gateway import Session
from service.market.calendar import Calendar
from service.market.model import DayKind, Instrument, InstrumentDay, Product, SessionRule, TickBand, TradingDay
from service.market.rules import Ticks, normalise_short_code
from service.market.tables import instrument as instrument_table
from service.market.tables import instrument_day as day_table
from service.market.tables import session_rule as session_table
from service.market.tables import tick_band as tick_table
from service.market.tables import trading_day as trading_day_table

BATCH = 500


async def load_calendar(connection: AsyncConnection) -> Calendar:
    """Days and sessions as one value, to be kept in memory and loaded again when a day changes."""
    days = await connection.execute(select(trading_day_table))
    rules = await connection.execute(select(session_table))
    return Calendar(
        days={row.day: _trading_day(row) for row in days},
        sessions=tuple(_session_rule(row) for row in rules),
    )


async def is_open(connection: AsyncConnection, day: date) -> bool | None:
    """Whether it is a trading day; None when nobody knows."""
    table = trading_day_table.c
    found: bool | None = (await connection.execute(select(table.open).where(table.day == day))).scalar()
    return found


async def load_ticks(connection: AsyncConnection) -> Ticks:
    rows = await connection.execute(select(tick_table))
    return Ticks(TickBand(**{**row._asdict(), "product": Product(row.product)}) for row in rows)


def _trading_day(row: Row[Any]) -> TradingDay:
    # By name and not by `_asdict()`: a calendar is years of days, read every few seconds between orders.
    return TradingDay(
        day=row.day, open=row.open, day_kind=DayKind(row.day_kind), regular_open=row.regular_open,
        regular_close=row.regular_close, reason=row.reason, source=row.source, known_since=row.known_since,
        calendar_version=row.calendar_version,
    )  # fmt: skip


def _session_rule(row: Row[Any]) -> SessionRule:
    return SessionRule(**{**row._asdict(), "session": Session(row.session), "day_kind": DayKind(row.day_kind)})


# --- instruments ------------------------------------------------------------------------------------------------------


async def find_instrument(connection: AsyncConnection, isin: str) -> Instrument | None:
    row = (await connection.execute(select(instrument_table).where(instrument_table.c.isin == isin))).one_or_none()
    return None if row is None else _instrument(row)


async def find_instruments(connection: AsyncConnection, isins: Iterable[str]) -> dict[str, Instrument]:
    """Those of the instruments that are listed, by ISIN."""
    wanted = instrument_table.c.isin == func.any(literal(sorted(isins), ARRAY(Text)))
    return {row.isin: _instrument(row) for row in await connection.execute(select(instrument_table).where(wanted))}


async def find_by_short_code(connection: AsyncConnection, code: str) -> Instrument | None:
    """The instrument of a 단축코드, with or without its leading letter. None also when two share it."""
    wanted = normalise_short_code(code)
    spellings = {wanted, wanted[1:] if len(wanted) == 7 else f"Q{wanted}", wanted if len(wanted) == 7 else f"J{wanted}"}
    rows = (await connection.execute(select(instrument_table).where(instrument_table.c.short_code.in_(spellings)))).all()
    exact = [row for row in rows if row.short_code == wanted]
    found = exact or rows
    return _instrument(found[0]) if len(found) == 1 else None


async def isins_by_short_code(connection: AsyncConnection) -> dict[str, str]:
    """단축코드 → ISIN for the whole master, to name rows that bring no ISIN."""
    rows = await connection.execute(select(instrument_table.c.short_code, instrument_table.c.isin))
    return {row.short_code: row.isin for row in rows}


async def instrument_days(connection: AsyncConnection, isins: Sequence[str], on: date) -> dict[str, InstrumentDay]:
    """The newest known day of each instrument, not after `on`: it may be older, so look at its date."""
    c = day_table.c
    newest = (
        select(day_table)
        .ext(distinct_on(c.isin))
        .where(c.isin.in_(isins), c.business_date <= on)
        .order_by(c.isin, c.business_date.desc())
    )
    return {row.isin: InstrumentDay(**row._asdict()) for row in await connection.execute(newest)}


async def instruments_page(
    connection: AsyncConnection,
    *,
    after: str | None,
    limit: int,
    market: str | None = None,
    symbol: str | None = None,
    name: str | None = None,
) -> list[Instrument]:
    """Instruments in the order of their ISINs, one more than the limit."""
    c = instrument_table.c
    wanted = select(instrument_table).order_by(c.isin).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(c.isin > after)
    if market is not None:
        wanted = wanted.where(c.market == market)
    if symbol is not None:
        wanted = wanted.where(c.short_code == normalise_short_code(symbol))
    if name is not None:
        wanted = wanted.where(c.name.icontains(name, autoescape=True))
    return [_instrument(row) for row in await connection.execute(wanted)]


async def save_instruments(connection: AsyncConnection, instruments: Sequence[Instrument]) -> None:
    for batch in _batches(instruments):
        statement = insert(instrument_table).values([vars(one) for one in batch])
        changed = {name: statement.excluded[name] for name in ("short_code", "name", "market", "product", "updated_at")}
        await connection.execute(statement.on_conflict_do_update(index_elements=["isin"], set_=changed))


async def save_instrument_days(connection: AsyncConnection, days: Sequence[InstrumentDay]) -> None:
    keys = ("isin", "business_date")
    for batch in _batches(days):
        statement = insert(day_table).values([vars(one) for one in batch])
        changed = {column.name: statement.excluded[column.name] for column in day_table.c if column.name not in keys}
        await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


async def close_days(connection: AsyncConnection, days: Sequence[date], *, known_since: date, source: str) -> None:
    """Mark days as closed, known or not yet known to us."""
    closed = {
        "open": False,
        "regular_open": None,
        "regular_close": None,
        "reason": "closed by the exchange",
        "source": source,
        "known_since": known_since,
        "calendar_version": f"{source}-{known_since}",
    }
    for day in days:
        statement = insert(trading_day_table).values(day=day, day_kind="normal", **closed)
        await connection.execute(statement.on_conflict_do_update(index_elements=["day"], set_=closed))


def _batches(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def _instrument(row: Row[Any]) -> Instrument:
    return Instrument(**{**row._asdict(), "product": Product(row.product)})
