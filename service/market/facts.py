"""The instrument and the day as parts of another slice's hot read."""

from sqlalchemy import Date, Exists, Subquery, Text, and_, bindparam, exists, func, select

from service.market.tables import instrument, instrument_day, trading_day


def instrument_part() -> Subquery:
    """The instrument named by `isin` or `symbol` with its row of `business_date`; day columns are null without one."""
    day = instrument_day.c
    joined = instrument.outerjoin(
        instrument_day,
        and_(day.isin == instrument.c.isin, day.business_date == bindparam("business_date", type_=Date)),
    )
    named = select(instrument.c.isin).where(instrument.c.short_code == bindparam("symbol", type_=Text)).limit(1)
    # Not `isin = … or short_code = …`: with either, both tables are read by key.
    wanted = func.coalesce(bindparam("isin", type_=Text), named.scalar_subquery())
    return (
        select(
            instrument.c.isin,
            instrument.c.short_code,
            instrument.c.product,
            instrument.c.market,
            day.base_price,
            day.upper_limit,
            day.lower_limit,
            func.coalesce(day.halted, False).label("halted"),
            func.coalesce(day.liquidation, False).label("liquidation"),
            func.coalesce(day.trading_unit, 1).label("trading_unit"),
            func.coalesce(day.after_market_eligible, False).label("after_market_eligible"),
        )
        .select_from(joined)
        .where(instrument.c.isin == wanted)
        .subquery("instrument_facts")
    )


def closed_part() -> Exists:
    """Whether the exchange is known to be closed on `business_date`."""
    return exists().where(trading_day.c.day == bindparam("business_date", type_=Date), ~trading_day.c.open)


def prices_part() -> Subquery:
    """Base prices of `business_date` by isin, each beside the wanted `isin`."""
    day = instrument_day.c
    return (
        select(day.isin, day.base_price, bindparam("isin", type_=Text).label("wanted"))
        .where(day.business_date == bindparam("business_date", type_=Date))
        .subquery("prices")
    )
