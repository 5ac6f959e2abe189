"""POST /v1/order/new, cancel, replace: a 200 says only that the JSON was well formed."""

from collections.abc import Callable
from itertools import count

from starlette.responses import Response

from service.sandbox import requests
from service.sandbox.door import Ask, answer
from service.sandbox.world import World


def handler(world: World, path: str) -> Callable[[Ask], Response]:
    """`path` is new, cancel or replace."""
    ids = count(1)

    def handle(ask: Ask) -> Response:
        world.submit(requests.read(path, ask.document))
        header = {"reqIdPlatform": f"ORD{world.now:%Y%m%d}{next(ids):010d}", "reqIdConsumer": ask.echo}
        return answer({"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}})

    return handle
