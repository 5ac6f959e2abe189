"""Uvicorn protocols that hand a request its transport, so that a fault can cut the connection under it.

Also where the sandbox differs from a well-behaved server on purpose: SIGTERM ends it at once with status 0.
"""

import asyncio
import contextlib
import signal
import socket
import struct
from asyncio.transports import BaseTransport
from collections.abc import Callable, Iterator
from typing import cast

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class CuttableHttp(HttpToolsProtocol):
    """`poisoned`: the next byte that arrives finds the connection reset."""

    poisoned = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "transport": transport, "connection": self}

    def data_received(self, data: bytes) -> None:
        if self.poisoned:
            return _reset(self.transport)
        return super().data_received(data)


class CuttableWebSocket(WebSocketsSansIOProtocol):
    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


async def cut(scope: Scope, *, reset: bool = False) -> None:
    """Abort the connection under the request. Without one (in process) the caller sees it break."""
    transport = scope.get("state", {}).get("transport")
    if transport is None:
        raise ConnectionResetError("the sandbox cut the connection")
    if reset:
        _reset(transport)
    else:
        transport.abort()
    await asyncio.sleep(0)  # let the server notice, so that an empty answer after it goes nowhere


def poison(scope: Scope) -> None:
    """The next request on this connection will be reset unread; in process there is no connection to keep."""
    connection = scope.get("state", {}).get("connection")
    if connection is not None:
        connection.poisoned = True


def _reset(transport: asyncio.Transport) -> None:
    """A RST instead of a FIN: what the peer has still to send or to read is gone."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Server(uvicorn.Server):
    """Uvicorn raises a caught signal again after its shutdown; a sandbox that was asked to stop has not failed."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT)
        installed = []
        for number in caught:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.stop)
                installed.append(number)
        try:
            yield
        finally:
            for number in installed:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        self.should_exit = True
        self._on_stop()
