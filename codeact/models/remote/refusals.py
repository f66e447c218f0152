"""Responses that another attempt at the same server would get again, and what to do about them."""

from collections.abc import Callable
from typing import NamedTuple

from codeact import web
from codeact.models.remote.errors import is_out_of_quota, is_wrong_model, parse_error
from codeact.models.remote.exchange import Response
from codeact.models.remote.parameters import RefusedParameter
from codeact.models.remote.settings import RemoteSettings

_REJECTED = {401, 402, 403, 404, 405, 410}

Words = Callable[[str], str]
"""Bounds what a server says, and takes the key out."""


class Rejection(NamedTuple):
    """Why a server rejects every request of ours; if it `may_pass`, one more is sent."""

    why: str
    may_pass: bool


def rejection(
    settings: RemoteSettings, url: str, response: Response, words: Words
) -> Rejection | None:
    """Return the rejection in a response: a wrong address, key or model, or a web page.

    None for a completion, and for a refusal of this request only, or for now only.
    """
    status = response.status
    if status >= 500 or status in (408, 425):
        return None
    if (status < 300 or status in (403, 404)) and web.is_page(response.headers, response.body):
        what = words(web.seen(status, response.headers, response.body))
        advice = f"check base_url, which has to be the API's own address{_version(url)}"
        why = f"{url} answered with a web page, not with JSON ({what}); {advice}"
        return Rejection(why, may_pass=status < 300)
    if status == 200:
        return None
    error = parse_error(response.body)
    no_quota = is_out_of_quota(status, error)
    no_model = status in (400, 404, 422) and is_wrong_model(error)
    if not (300 <= status < 400 or status in _REJECTED or no_quota or no_model):
        return None
    said = words(error.message)
    why = refusal(settings, url, status, said, no_model=no_model, no_quota=no_quota)
    return Rejection(why, False)


def refusal(
    settings: RemoteSettings,
    url: str,
    status: int,
    words: str,
    *,
    no_model: bool = False,
    no_quota: bool = False,
    refused: RefusedParameter | None = None,
) -> str:
    """Return what was refused, and what to do about it."""
    name = settings.credential_env
    key = f"check the key in {name}" if name else "name the variable of its key in api_key_env"
    advice = {
        401: key,
        403: f"{key} (and see what that key gives access to)",
    }.get(status, f"check the model's settings ({settings.checked_keys})")
    if no_quota:
        advice = "the account's quota is used up"
    elif refused is not None:
        advice = f"it does not take {refused.name}: {refused.advice}"
    elif no_model:
        advice = f"check {settings.naming} ({settings.naming_key})"
    elif status in (404, 405, 410):
        advice = f"check {settings.naming}, and base_url{_version(url)}"
    elif 300 <= status < 400:
        advice = "it redirects elsewhere: give the final address as base_url"
    return f"{url} refused the request with HTTP {status}: {words}; {advice}"


def _version(url: str) -> str:
    is_right = "/v1" in url or "/openai/deployments/" in url
    return "" if is_right else " (does it lack /v1?)"
