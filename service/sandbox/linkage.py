"""POST /v1/common/member/…: is the client a member, and which virtual accounts are linked."""

from collections.abc import Callable
from datetime import timedelta

from starlette.responses import Response

from service.sandbox.door import Ask, answer
from service.sandbox.errors import Refused
from service.sandbox.people import CLIENTS, Client, client_of
from service.sandbox.world import World

Handler = Callable[[Ask], Response]


def register(world: World) -> Handler:
    def handle(ask: Ask) -> Response:
        header, client = _read(world, ask.document)
        if client is None or not client.member:
            return _answer(header, {"result": "nonMember"})
        return _answer(header, {"result": "member", "commonTermsExpireDate": _expiry(world, 1_000)})

    return handle


def consent(world: World) -> Handler:
    def handle(ask: Ask) -> Response:
        header, client = _read(world, ask.document)
        if client is None or not client.member:
            raise Refused(500, 4006, "금융정보 제공 동의 없음", "op-exco")
        rows = _linked(world, client) if client.linked else []
        return _answer(
            header, {"vtAccList": rows, "serviceTermsExpireDate": _expiry(world, client.consent_days) if rows else None}
        )

    return handle


def _linked(world: World, client: Client) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for broker in world.brokers.values():
        blank = " " if broker.profile.com_id_leading_blank else ""
        for account in broker.accounts.values():
            if client_of(account) is client:
                rows.append({
                    "comId": blank + broker.profile.code, "vtAccNo": account.virtual,
                    "vtAccAlias": f"{broker.profile.name} 일임", "endpoint": broker.profile.name,
                })  # fmt: skip
    return rows


def _read(world: World, document: object) -> tuple[dict[str, object], Client | None]:
    if not isinstance(document, dict):
        raise Refused(400, 400, "Bad Request")
    blocks = {name: document.get(name) for name in ("partner", "commonHeader", "body")}
    partner, common, body = (_block(name, block) for name, block in blocks.items())
    if partner.get("comId") != world.identity.com_id or partner.get("srvId") != world.identity.srv_id:
        raise Refused(403, 2100, "API 사용 권한 없음 [partner]", "op-auth")
    for name, block in (("ci", common), ("korName", body)):
        if not isinstance(block.get(name), str) or not block[name]:
            raise Refused(400, 3003, f"필수항목 누락 [{name}]")
    client = next((one for one in CLIENTS if (one.ci, one.name) == (common["ci"], body["korName"])), None)
    return {"reqIdPlatform": "", "reqIdConsumer": str(common.get("reqIdConsumer") or "")}, client


def _block(name: str, block: object) -> dict[str, object]:
    if not isinstance(block, dict):
        raise Refused(400, 3003, f"필수항목 누락 [{name}]")
    return block


def _answer(header: dict[str, object], content: dict[str, object]) -> Response:
    """The manual prints the answer's fields without their place: they stand in `body` and, as printed, at the top."""
    document = {"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}, "body": content, **content}
    return answer(document)


def _expiry(world: World, days: int) -> str:
    return f"{world.started + timedelta(days=days):%Y%m%d}"
