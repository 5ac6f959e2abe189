"""The account, its cash and a holding, as parts of another slice's hot read."""

from typing import Any

from sqlalchemy import ScalarSelect, Select, Subquery, Uuid, bindparam, select

from service.accounts.tables import account, cash, holding

ACCOUNT_ID = "account_id"


def account_part() -> Subquery:
    """The account `account_id`, if the caller's books show it."""
    return (
        select(
            account.c.id.label("account_id"),
            account.c.broker,
            account.c.contract_status,
            account.c.vanished_at.is_not(None).label("vanished"),
        )
        .where(account.c.id == bindparam(ACCOUNT_ID, type_=Uuid))
        .subquery("account_facts")
    )


def number_part() -> ScalarSelect[Any]:
    """The number of the account `account_id`: for the worker, who must name it to the broker."""
    return select(account.c.number).where(account.c.id == bindparam(ACCOUNT_ID, type_=Uuid)).scalar_subquery()


def cash_part() -> Subquery:
    """Orderable cash of `account_id`, with the day its opening holds for. Won."""
    orderable = cash.c.opening - cash.c.bought + cash.c.sold - cash.c.costs - cash.c.reserved
    return (
        select(cash.c.opened_on, orderable.label("orderable"))
        .where(cash.c.account_id == bindparam(ACCOUNT_ID, type_=Uuid))
        .subquery("cash_facts")
    )


def holding_part() -> Subquery:
    """Sellable shares of `account_id` by isin: held and bought, less sold and offered by open orders."""
    sellable = holding.c.opening + holding.c.bought - holding.c.sold - holding.c.reserved_sell
    return (
        select(
            holding.c.isin,
            holding.c.opened_on,
            sellable.label("sellable"),
            (holding.c.opening + holding.c.bought - holding.c.sold).label("quantity"),
        )
        .where(holding.c.account_id == bindparam(ACCOUNT_ID, type_=Uuid))
        .subquery("holding_facts")
    )


def lock_cash_part() -> Select[Any]:
    """Hold the cash row of `account_id`: whoever else wants to buy for the account waits for the end of the transaction."""
    return select(cash.c.account_id).where(cash.c.account_id == bindparam(ACCOUNT_ID, type_=Uuid)).with_for_update()
