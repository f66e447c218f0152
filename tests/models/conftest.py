"""What tests of models share."""

import pytest

from tests.helpers.apis import APIS, Api
from tests.helpers.transports import CHOSEN


@pytest.fixture(params=["lean", "sdk"])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with either transport; its clients take their settings from `CHOSEN`."""
    monkeypatch.setitem(CHOSEN, "transport", request.param)
    return str(request.param)


@pytest.fixture(params=APIS)
def each_api(request: pytest.FixtureRequest) -> Api:
    """Run a test with each API by either transport."""
    return APIS[request.param]
