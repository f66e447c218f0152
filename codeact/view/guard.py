"""Who may ask the server: this machine's own browser, with the token, and by the server's name.

A page of another site cannot: its requests carry no cookie (``SameSite=Strict``), it cannot read
answers, and a name of its own that resolves to this machine is refused by the header ``Host``.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

NAMES = ("127.0.0.1", "localhost", "::1")
"""By which the server may be asked. The port may be another one: a tunnel has its own."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No script, style or address but the server's own, and no text that becomes markup."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Lets requests with the token pass; `token` is made anew for each server."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.cookie = f"codeact-view-{secrets.token_hex(4)}"
        """Cookies do not tell ports apart, so each server's has a name of its own."""

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request, or let it pass; every answer gets the headers."""
        if (refusal := self._refusal(request)) is not None:
            response: web.StreamResponse = refusal
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=error.reason)
        if not response.prepared:
            response.headers.update(HEADERS)
            if self._is_given(request):
                response.set_cookie(
                    self.cookie, self.token, httponly=True, samesite="Strict", path="/"
                )
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not _is_ours(request.headers.get("Host", "")):
            return web.Response(status=403, text="This server answers on this machine alone.")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers["Host"]:
            return web.Response(status=403, text="Another site may not ask this server.")
        if not (self._is_given(request) or self._is_known(request)):
            return web.Response(
                status=401, text="The token is missing: open the address that codeact has printed."
            )
        return None

    def _is_given(self, request: web.Request) -> bool:
        """Whether the address of the page itself has the token."""
        return request.path == "/" and self._is_token(request.query.get("token"))

    def _is_known(self, request: web.Request) -> bool:
        kind, _, word = request.headers.get("Authorization", "").partition(" ")
        return (kind == "Bearer" and self._is_token(word)) or self._is_token(
            request.cookies.get(self.cookie)
        )

    def _is_token(self, word: str | None) -> bool:
        return word is not None and hmac.compare_digest(word.encode(), self.token.encode())


def _is_ours(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in NAMES
    except ValueError:
        return False
