"""What a deployment decides about the platform, as plain values. Read nowhere but where objects are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from service.core.secret import Secret
from service.gateway import BrokerProfile
from service.koscom.budget import LIMITS, CallLimit, ServiceName
from service.koscom.transport import Timeouts

MEGABYTE = 1024 * 1024

INQUIRY_TIMEOUTS = Timeouts(connect=2.0, read=5.0, pool=3.0, call=8.0)
# A connection may take as long as a claim allows its first byte (3 s), and then the platform has its five seconds. All of it
# is well within the 30 s after which a request without an answer is taken for lost.
ORDER_TIMEOUTS = Timeouts(connect=2.0, read=5.0, pool=3.0, call=8.0)


@dataclass(frozen=True)
class Paths:
    """Version and prefix per service: the manual has moved them before."""

    orders: str = "/v1/order/{verb}"
    inquiries: str = "/v1/{broker}/b2baccount/{api}/search"
    linkage: str = "/v1/common/member/{api}/search"
    instruments: str = "/v3/market/closed/{market}/lists"
    master: str = "/v3/market/closed/{market}/{code}/master"
    holidays: str = "/v3/market/extra/stocks/{nation}/holiday"
    stream: str = "/v1/order/stream"


@dataclass(frozen=True)
class StreamTimes:
    """Seconds of the report stream."""

    open: float = 10.0
    heart_beat: float = 10.0
    silence: float = 25.0  # with no heart-beat agreed on, or two and a half of those agreed on: the line is dead
    settle: float = 0.5  # quiet this long after a resend request was answered: nothing more of it is coming
    settle_unanswered: float = 3.0  # the same for a server that gives no receipts
    stalled: float = 5.0  # a frame begun this long ago will not be finished
    resend: float = 10.0  # longest wait for a resend before going live with what is there
    ask_again: float = 20.0  # while live: ask for what is still missing, and for a lost newest one
    backoff: float = 0.5
    backoff_max: float = 30.0


@dataclass(frozen=True)
class KoscomConfig:
    base_url: str  # inquiries and linkage
    order_url: str
    stream_url: str
    api_key: Secret
    secret: Secret
    com_id: str  # the fintech's company code
    srv_id: str
    sender_comp_id: str
    brokers: tuple[str, ...]  # short names
    market_url: str | None = None  # the later manual moved market data to a second host; None: base_url
    venue: str = "XKRX"
    nation: str = "KR"
    paths: Paths = field(default_factory=Paths)
    timeouts: Timeouts = INQUIRY_TIMEOUTS
    order_timeouts: Timeouts = ORDER_TIMEOUTS
    stream_times: StreamTimes = field(default_factory=StreamTimes)
    byte_limit: int = 8 * MEGABYTE
    frame_limit: int = 16 * MEGABYTE
    pages_max: int = 200
    attempts: int = 3  # of a read; an order has one
    concurrency: int = 16
    limits: Mapping[ServiceName, CallLimit] = field(default_factory=lambda: dict(LIMITS))
    profiles: Mapping[str, BrokerProfile] | None = None  # by company code; None: profiles.json
    verify_tls: bool = True

    def stream_address(self) -> str:
        """The stream's URL; one that already names a path is taken as it is."""
        named = urlsplit(self.stream_url).path not in {"", "/"}
        return self.stream_url if named else self.stream_url.rstrip("/") + self.paths.stream
