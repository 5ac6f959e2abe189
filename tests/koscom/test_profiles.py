"""Broker profiles are data (P20); the configuration keeps its secrets (P32)."""

import pytest

from service.core.clock import ManualClock
from service.core.errors import NotFound
from service.gateway import Gateway, ReportStream
from service.koscom import profiles
from service.koscom.stream import KoscomStream
from tests.koscom.makers import CYBER, MORNING, config, gateway
from tests.koscom.shapes import pages

DOCUMENTED = (
    "shinhan 00002, daishin 00004, eugene 00008, hanyang 00009, meritz 00010, nhinvest 00012, kbinvest 00017, "
    "yuanta 00024, sk 00025, samsung 00030, dongbu 00031, hi 00046, miraeassetdaewoo 00049, kiwoom 00050, ebest 00063, "
    "koreaasset 00064, cyber 00991, diamond 00992, star 00993"
)


def test_p20_every_documented_broker_has_a_profile() -> None:
    expected = {code: name for name, code in (one.split() for one in DOCUMENTED.split(", "))}
    assert {code: profile.short_name for code, profile in profiles.load().items()} == expected


def test_an_unknown_broker_in_the_settings_stops_the_start() -> None:
    with pytest.raises(ValueError, match="unknown brokers: moon"):
        gateway(pages(), brokers=("cyber", "moon"))


def test_the_gateway_knows_the_brokers_it_was_given_and_no_other() -> None:
    platform = gateway(pages(), brokers=("cyber",))
    assert platform.profile(CYBER).short_name == "cyber"
    with pytest.raises(NotFound):
        platform.profile("00992")


def test_the_port_is_kept() -> None:
    port: Gateway = gateway(pages())
    stream: ReportStream = KoscomStream(config(), ManualClock(MORNING), lambda _bits: 0)
    assert port is not None
    assert stream is not None


def test_p32_a_configuration_renders_without_its_secrets() -> None:
    assert "the-key" not in repr(config())
    assert "the-secret" not in repr(config())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://h:1", "ws://h:1/v1/order/stream"),
        ("ws://h:1/", "ws://h:1/v1/order/stream"),
        ("wss://h/v2/other", "wss://h/v2/other"),
    ],
)
def test_the_stream_address_is_a_host_or_a_whole_url(url: str, address: str) -> None:
    assert config(stream_url=url).stream_address() == address
