"""Service linkage: is a client a member of the portal, and which virtual accounts are linked to us?

The `ci` identifies a person across firms: it is revealed here, into the body of one request, and nowhere else.
"""

from dataclasses import dataclass

from service.core.clock import Clock
from service.core.ids import RandomBits
from service.core.secret import AccountNumber, Secret
from service.gateway import CallClass, Complete, Failure, Incomplete, Inquiry, LinkedAccount, Membership
from service.koscom.budget import ServiceName
from service.koscom.calls import Found, Lost, Purse, Retry, usable
from service.koscom.config import KoscomConfig
from service.koscom.envelope import request_id
from service.koscom.errors import read_verdict
from service.koscom.transport import Service
from service.koscom.wire import Json, WireError, absent, day, dump, need_text, parse_object, rows_of, text

MEMBERSHIPS = {"member": True, "nonmember": False}


@dataclass(frozen=True)
class Linkage:
    service: Service
    config: KoscomConfig
    purse: Purse
    retry: Retry
    clock: Clock
    random_bits: RandomBits

    async def membership(self, ci: Secret, korean_name: str) -> Membership | Failure:
        found = await self._ask("register", ci, korean_name)
        if isinstance(found, Lost):
            return Failure(found.reason, found.detail)
        try:
            return read_membership(parse_object(found.raw))
        except WireError as error:
            return Failure(error.reason, error.detail)

    async def linked_accounts(self, ci: Secret, korean_name: str) -> Inquiry[LinkedAccount]:
        asked_at = self.clock.now()
        found = await self._ask("consent", ci, korean_name)
        if isinstance(found, Lost):
            return Incomplete(found.reason, found.detail, (), (found.raw,) if found.raw else ())
        try:
            return Complete(tuple(read_linked(parse_object(found.raw))), (found.raw,), asked_at)
        except WireError as error:
            return Incomplete(error.reason, error.detail, (), (found.raw,))

    async def _ask(self, api: str, ci: Secret, korean_name: str) -> Found | Lost:
        async def attempt() -> Found | Lost:
            refused = await self.purse.refuses(ServiceName.LINKAGE, CallClass.ROUTINE)
            if refused is not None:
                return Lost(refused, api)
            req_id = request_id(self.random_bits)
            body = dump(self._question(ci, korean_name, req_id))
            return _ours(usable(await self.service.post(self.config.paths.linkage.format(api=api), body)), req_id)

        return await self.retry(attempt)

    def _question(self, ci: Secret, korean_name: str, req_id: str) -> Json:
        return {
            "partner": {"comId": self.config.com_id, "srvId": self.config.srv_id},
            "commonHeader": {"reqIdPlatform": "", "reqIdConsumer": req_id, "ci": ci.reveal()},
            "body": {"korName": korean_name},
        }


def _ours(found: Found | Lost, req_id: str) -> Found | Lost:
    """reqIdConsumer is optional here: an answer without it is taken, one with another's is not."""
    if isinstance(found, Lost):
        return found
    try:
        echo = read_verdict(parse_object(found.raw)).echo
    except WireError as error:
        return Lost(error.reason, error.detail, found.raw)
    if echo not in {None, req_id}:
        return Lost("echo-mismatch", "reqIdConsumer", found.raw, again=True)
    return found


def read_membership(answer: Json) -> Membership:
    body = _holding(answer, "result")
    word = need_text(body, "result")
    if word.lower() not in MEMBERSHIPS:
        raise WireError("unknown-code", "result")
    return Membership(MEMBERSHIPS[word.lower()], day(body, "commonTermsExpireDate"))


def read_linked(answer: Json) -> list[LinkedAccount]:
    body = _holding(answer, "vtAccList")
    expire = day(body, "serviceTermsExpireDate")
    return [
        LinkedAccount(
            com_id=need_text(row, "comId"),
            virtual_number=AccountNumber(need_text(row, "vtAccNo")),
            alias=text(row, "vtAccAlias"),
            terms_expire=day(row, "serviceTermsExpireDate") or expire,
        )
        for row in rows_of(body, "vtAccList")
    ]


def _holding(answer: Json, name: str) -> Json:
    """The block that holds a field: the answer itself or one of its blocks; the editions differ."""
    blocks = [block for block in (answer, *answer.values()) if isinstance(block, dict)]
    places = [block for block in blocks if not absent(block.get(name))]
    if len(places) != 1:
        raise WireError("missing-block" if not places else "ambiguous-field", name)
    return places[0]
