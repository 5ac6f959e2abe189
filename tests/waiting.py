"""Waiting for what another process or task does, without guessing how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    """Ask again and again until it holds. Raises TimeoutError. For states that ring no bell of ours."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - another process rings no event
            await asyncio.sleep(0.005)
