"""What the market does to orders by chance: the seeded form of the verbs in `unasked`. Nothing to do it to: nothing happens."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from service.sandbox import rules, unasked
from service.sandbox.background import Dice
from service.sandbox.broker import Broker
from service.sandbox.errors import Refused
from service.sandbox.faults import Armed, on_market
from service.sandbox.orders import Order

if TYPE_CHECKING:
    from service.sandbox.world import World


@on_market("client_order", "the client himself places an order of `quantity` (default 1) through his own terminal")
def _client_order(world: "World", armed: Armed, dice: Dice) -> None:
    brokers = _brokers(world, armed)
    broker = brokers[dice.below(0, len(brokers))]
    accounts = [one for one in broker.accounts.values() if one.contract == "0"]
    account = accounts[dice.below(1, len(accounts))]
    listings = [one for one in world.exchange.listings.values() if not one.halted]
    listing = listings[dice.below(2, len(listings))]
    side = "sell" if account.quantity(listing.instrument.isin) and dice.below(3, 2) else "buy"
    wish = unasked.Wish(
        account.number, listing.instrument.isin, side, armed.number("quantity", 1), listing.last, armed.text("cl_ord_id", "")
    )
    world.place_for_client(broker, wish)


@on_market("client_cancel", "the client himself cancels an order of ours")
def _client_cancel(world: "World", armed: Armed, dice: Dice) -> None:
    broker, order = _pick(world, armed, dice, lambda one: one.live)
    unasked.cancel(broker, order, by="client")


@on_market("bust", "a fill of today is taken back (Trade Cancel)")
def _bust(world: "World", armed: Armed, dice: Dice) -> None:
    broker, order = _pick(world, armed, dice, lambda one: bool(one.fills))
    unasked.bust(broker, order, dice.below(1, len(order.fills)), reopen=bool(armed.parameters.get("reopen", True)))


@on_market("correction", "a fill of today gets another price (Trade Correct), one tick away")
def _correction(world: "World", armed: Armed, dice: Dice) -> None:
    broker, order = _pick(world, armed, dice, lambda one: bool(one.fills))
    place = dice.below(1, len(order.fills))
    fill = order.fills[place]
    price = rules.step(fill.price, 1 if dice.below(2, 2) else -1, fund=order.instrument.fund)
    unasked.correct(broker, order, place, fill.quantity, price)


@on_market("mass_cancel", "the exchange cancels every live order of one instrument")
def _mass_cancel(world: "World", armed: Armed, dice: Dice) -> None:
    _, order = _pick(world, armed, dice, lambda one: one.live)
    unasked.mass_cancel(_brokers(world, armed), order.instrument.isin)


@on_market("late_reject", "an acknowledged order that has not traded is rejected after all")
def _late_reject(world: "World", armed: Armed, dice: Dice) -> None:
    broker, order = _pick(world, armed, dice, lambda one: one.live and not one.fills)
    unasked.late_reject(broker, order, armed.text("reason", "거래소 사후거부"))


@on_market("restatement", "the broker lowers an order by itself (Restated), by one share")
def _restatement(world: "World", armed: Armed, dice: Dice) -> None:
    broker, order = _pick(world, armed, dice, lambda one: one.leaves > 1)
    unasked.restate(broker, order, order.ordered - 1)


def _brokers(world: "World", armed: Armed) -> list[Broker]:
    wanted = armed.parameters.get("broker")
    return [one for one in world.brokers.values() if wanted in (None, one.profile.name, one.profile.code)]


def _pick(world: "World", armed: Armed, dice: Dice, fits: Callable[[Order], bool]) -> tuple[Broker, Order]:
    """One of today's orders; `Refused` when none fits."""
    today = world.now.date()
    found = [
        (broker, order)
        for broker in _brokers(world, armed)
        for number in broker.accounts
        for order in broker.book.get((number, today), [])
        if fits(order)
    ]
    if not found:
        raise Refused(400, 400, "no order for it")
    return found[dice.below(0, len(found))]
