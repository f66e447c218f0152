"""What tests of models share."""

import pytest

from codeact.models.remote import client as remote_client
from tests.helpers.apis import APIS, Api
from tests.helpers.transports import CHOSEN


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry failed requests at once."""
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 0.1)


@pytest.fixture(params=["lean", "sdk"])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with either transport; its clients take their settings from `CHOSEN`."""
    monkeypatch.setitem(CHOSEN, "transport", request.param)
    return str(request.param)


@pytest.fixture(params=APIS)
def each_api(request: pytest.FixtureRequest) -> Api:
    """Run a test with each API by either transport."""
    return APIS[request.param]
