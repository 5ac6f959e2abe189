"""Broker profiles as data: `profiles.json` holds what is documented of each, as differences from the defaults.

The company code is the identity; the short name stands in URLs and in TargetCompID. Commission and order-number habits
of real brokers are contract matters: the defaults are the cautious ones, and a deployment corrects them here.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.gateway import BrokerProfile

FILE = Path(__file__).with_name("profiles.json")


def load(path: Path = FILE) -> dict[str, BrokerProfile]:
    """Every known broker, by company code."""
    data = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    profiles = [_profile(data["defaults"] | broker) for broker in data["brokers"]]
    return {profile.code: profile for profile in profiles}


def chosen(profiles: dict[str, BrokerProfile], short_names: Iterable[str]) -> dict[str, BrokerProfile]:
    """The brokers a deployment trades through. An unknown name is a mistake of the settings and stops the start."""
    by_name = {profile.short_name: profile for profile in profiles.values()}
    unknown = [name for name in short_names if name not in by_name]
    if unknown:
        raise ValueError(f"unknown brokers: {', '.join(unknown)}")
    return {by_name[name].code: by_name[name] for name in short_names}


def _profile(values: dict[str, Any]) -> BrokerProfile:
    read = {
        "commission_rate": Decimal(values["commission_rate"]),
        "asset_types": tuple(values["asset_types"]),
        "order_type_codes": dict(values["order_type_codes"]),
        "cancelled_words": frozenset(values["cancelled_words"]),
    }
    return BrokerProfile(**(values | read))
