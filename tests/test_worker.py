"""The worker's loops: nothing that ends them goes unheard."""

import asyncio

import pytest

from service.worker import _until_lost


async def test_what_work_under_a_lease_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("the sweep broke")

    with pytest.raises(ValueError, match="the sweep broke"):
        await _until_lost(work(), asyncio.Event())


async def test_work_stops_when_its_lease_is_lost() -> None:
    lost, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asyncio.get_running_loop().call_soon(lost.set)
    async with asyncio.timeout(5):
        await _until_lost(work(), lost)
    assert ended.is_set()
