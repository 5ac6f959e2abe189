"""Every documented error of the platform, and the three shapes in which it may arrive."""


class Refused(Exception):
    """A request answered with an error: HTTP status, platform code, message, and who speaks."""

    def __init__(self, status: int, code: int, message: str, category: str = "op-apim") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.category = status, code, message, category


CODES: dict[int, tuple[int, str]] = {
    **{status: (status, text) for status, text in (
        (400, "Bad Request"), (401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found"),
        (405, "Method Not Allowed"), (406, "Not Acceptable"), (408, "Request Timeout"),
        (415, "Unsupported Media Type"), (500, "Internal Server Error"), (503, "Service Unavailable"),
        (505, "HTTP Version Not Supported"),
    )},
    2001: (401, "인증 실패"), 2002: (401, "OTP 키 오류"), 2003: (401, "계정 잠김"), 2100: (403, "API 사용 권한 없음"),
    3001: (500, "증권사 거래코드 오류"), 3002: (400, "알 수 없는 API URL"), 3003: (400, "필수항목 누락"),
    3004: (500, "네트워크 오류"), 3005: (500, "네트워크 시간초과"), 3006: (500, "DN 없음"), 3007: (500, "사용자 없음"),
    3008: (500, "회사 없음"), 3009: (500, "계정 없음"), 3010: (500, "만료된 계정"), 3011: (500, "JSON 파싱 오류"),
    3012: (500, "증권사에 없는 계좌"), 3013: (500, "계좌 유형 오류"), 3600: (503, "증권사 서비스 이용 불가"),
    3999: (500, "알 수 없는 플랫폼 오류"),
    4000: (500, "DN 불일치"), 4001: (500, "CI 불일치"), 4002: (500, "계좌 불일치"), 4003: (500, "DN/CI 불일치"),
    4004: (500, "DN/계좌 불일치"), 4005: (500, "CI/계좌 불일치"), 4006: (500, "금융정보 제공 동의 없음"),
    5004: (500, "가상계좌 발급 실패"), 5005: (500, "가상계좌 변경 실패"), 5006: (500, "가상계좌 폐기 실패"),
    5007: (500, "가상계좌 처리 실패"),
    6001: (500, "지원하지 않는 자산유형"), 6002: (500, "지원하지 않는 응답유형"), 6003: (500, "페이지 키 없음"),
    6004: (500, "조회유형 오류"), 6005: (500, "조회결과 초과"), 6006: (500, "조회기간 초과"), 6007: (500, "알 수 없는 종목코드"),
    6008: (500, "매매구분 오류"), 7000: (500, "증권사 잘못된 요청"), 200: (500, "OK"),
}  # fmt: skip
"""Code → (HTTP status, message). 200 with HTTP 500 is in the manual: the status alone does not tell success."""

_AUTHENTICATION = range(2000, 2200)


def category(code: int, broker: str = "") -> str:
    """Who speaks: the gateway, its authentication, its exchange service, or the broker."""
    if code in _AUTHENTICATION or code in (401, 403):
        return "op-auth"
    if broker and code >= 3012:
        return broker
    return "op-exco" if 3000 <= code < 6000 else "op-apim"


def body(style: str, *, code: int, message: str, category: str) -> dict[str, object]:
    """`old`: category, code, message; `message` and `error`: the newer gateway's one field."""
    if style == "old":
        return {"category": category, "code": code, "message": message, "description": "sandbox"}
    return {"error" if style == "error" else "message": message}
