"""GET /v1/order/stream: STOMP 1.2 over WebSocket, subprotocol v12.stomp.

One task reads, one writes reports, one keeps the heart beating. A bad frame or login gets ERROR and the end.
"""

import asyncio
import contextlib
import hmac
from dataclasses import dataclass, field

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.sandbox import poison, stomp
from service.sandbox.hub import Hub, Parcel, Subscriber
from service.sandbox.stomp import BadFrame, Frame
from service.sandbox.world import Identity

SUBPROTOCOL = "v12.stomp"
DESTINATION, RESEND = "/user/queue/reports", "/app/resend"
BEAT_MS = 10_000


class Leave(Exception):
    """DISCONNECT."""


@dataclass(slots=True)
class Session:
    """One connection, from its CONNECT on."""

    socket: WebSocket
    hub: Hub
    identity: Identity
    number: int = 0
    connected: bool = False
    subscription: str = ""
    automatic: bool = False
    subscriber: Subscriber | None = None
    messages: int = 0
    beat_out_ms: int = 0
    beat_in_ms: int = 0
    beating: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Serve until the peer leaves, breaks the protocol, or a fault drops the connection."""
        tasks = [asyncio.create_task(act()) for act in (self._read, self._write, self._beat)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._unsubscribe()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        parser = stomp.Parser()
        try:
            while True:
                for frame in parser.feed(await self._receive()):
                    await self._handle(frame)
        except BadFrame as error:
            await self._error(str(error))
        except (Leave, TimeoutError):
            await self._close(1000)
        except (WebSocketDisconnect, RuntimeError):
            return

    async def _receive(self) -> bytes:
        # A peer that promised a heart-beat and is silent for two of them is gone.
        limit = self.beat_in_ms * 2 / 1000 + 1 if self.beat_in_ms else None
        async with asyncio.timeout(limit):
            message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        text = message.get("text")
        return text.encode("utf-8", "surrogatepass") if text is not None else message.get("bytes") or b""

    async def _write(self) -> None:
        await self.beating.wait()
        while True:
            if self.subscriber is None:
                self.beating.clear()
                await self.beating.wait()
                continue
            await self._deliver(self.subscriber, await self.subscriber.next())

    async def _deliver(self, subscriber: Subscriber, parcel: Parcel) -> None:
        self.messages += 1
        stored = parcel.stored
        name = f"{self.number}-{self.messages}"
        headers = {
            "subscription": self.subscription, "message-id": f"m{name}", "destination": DESTINATION,
            "content-type": "application/json", "seq": str(stored.seq), "seq-date": stored.day,
        }  # fmt: skip
        if not self.automatic:
            headers["ack"] = f"a{name}"
            subscriber.unacked[headers["ack"]] = stored
        frame = Frame("MESSAGE", headers, stored.body(again=parcel.again))
        if not parcel.spoilt:
            return await self._send(frame)
        spoilt = poison.spoil(parcel.spoilt, frame)
        if not spoilt.ackable:
            subscriber.unacked.pop(headers.get("ack", ""), None)
        return await self.socket.send(spoilt.message)

    async def _beat(self) -> None:
        await self.beating.wait()
        while self.beat_out_ms:
            await asyncio.sleep(self.beat_out_ms / 1000)
            if self._muted:
                continue
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.send_text("\n")
        await asyncio.Event().wait()

    @property
    def _muted(self) -> bool:
        """Half-open: what comes is read and comes to nothing."""
        return self.subscriber is not None and self.subscriber.muted

    async def _handle(self, frame: Frame) -> None:
        if self._muted:
            return None
        if not self.connected:
            return await self._connect(frame)
        match frame.command:
            case "SUBSCRIBE":
                self._subscribe(frame)
            case "UNSUBSCRIBE":
                self._unsubscribe()
            case "ACK" | "NACK":
                self._acknowledge(frame)
            case "SEND":
                self._resend(frame)
            case "DISCONNECT":
                await self._receipt(frame)
                raise Leave
            case other:
                raise BadFrame(f"unexpected command {other[:20]}")
        return await self._receipt(frame)

    async def _connect(self, frame: Frame) -> None:
        if frame.command not in ("CONNECT", "STOMP"):
            raise BadFrame("CONNECT expected")
        if "1.2" not in frame.headers.get("accept-version", "").split(","):
            raise BadFrame("version 1.2 is spoken here")
        expected = (self.identity.api_key, self.identity.secret, self.identity.com_id)
        given = (frame.headers.get("login", ""), frame.headers.get("passcode", ""), frame.headers.get("comId", ""))
        if not hmac.compare_digest("\0".join(given).encode(), "\0".join(expected).encode()):
            raise BadFrame("authentication failed")
        self._agree_on_beats(frame.headers.get("heart-beat", "0,0"))
        self.connected = True
        await self._send(Frame("CONNECTED", {
            "version": "1.2", "heart-beat": f"{BEAT_MS},{BEAT_MS}", "session": f"s{self.number}", "server": "ilim-sandbox",
        }))  # fmt: skip
        self.beating.set()

    def _agree_on_beats(self, header: str) -> None:
        can, want = header.partition(",")[::2]
        if not (can.isascii() and can.isdigit() and want.isascii() and want.isdigit() and len(header) < 20):
            raise BadFrame("heart-beat")
        self.beat_out_ms = max(BEAT_MS, int(want)) if int(want) else 0
        self.beat_in_ms = max(BEAT_MS, int(can)) if int(can) else 0

    def _subscribe(self, frame: Frame) -> None:
        name = frame.headers.get("id", "")
        if frame.headers.get("destination") != DESTINATION or not name or self.subscriber:
            raise BadFrame(f"SUBSCRIBE once, with an id, to {DESTINATION}")
        mode = frame.headers.get("ack", "auto")
        if mode not in ("client-individual", "auto"):
            raise BadFrame(f"ack mode {mode[:20]}")
        self.subscription, self.automatic = name, mode == "auto"
        self.subscriber = Subscriber(self._drop)
        self.hub.subscribers.append(self.subscriber)
        self.beating.set()

    def _unsubscribe(self) -> None:
        if self.subscriber in self.hub.subscribers:
            self.hub.subscribers.remove(self.subscriber)

    def _acknowledge(self, frame: Frame) -> None:
        if "id" not in frame.headers:
            raise BadFrame("ACK without id")
        if self.subscriber:
            self.subscriber.acknowledge(frame.headers["id"])

    def _resend(self, frame: Frame) -> None:
        if frame.headers.get("destination") != RESEND or self.subscriber is None:
            raise BadFrame(f"SEND to {RESEND}, after SUBSCRIBE")
        try:
            wish = orjson.loads(frame.body)
            day, begin, end = str(wish["date"]), int(wish["beginSeqNo"]), int(wish["endSeqNo"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadFrame("resend request") from error
        self.hub.resend(self.subscriber, day, begin, end)

    async def _receipt(self, frame: Frame) -> None:
        if "receipt" in frame.headers:
            await self._send(Frame("RECEIPT", {"receipt-id": frame.headers["receipt"]}))

    async def _send(self, frame: Frame) -> None:
        await self.socket.send_text(stomp.encode(frame).decode())

    async def _error(self, message: str) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._send(Frame("ERROR", {"message": message, "content-type": "text/plain"}, message.encode()))
        await self._close(1002)

    async def _close(self, code: int) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self.socket.close(code)

    def _drop(self) -> None:
        """A fault: the connection is gone, without a close frame."""
        self._unsubscribe()
        transport = getattr(self.socket.state, "transport", None)
        if transport is not None:
            transport.abort()


async def serve(socket: WebSocket, hub: Hub, identity: Identity) -> None:
    if SUBPROTOCOL not in socket.scope.get("subprotocols", []):
        return await socket.close(1002)
    await socket.accept(SUBPROTOCOL)
    hub.sessions += 1
    return await Session(socket, hub, identity, hub.sessions).run()
