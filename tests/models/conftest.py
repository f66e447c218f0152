"""What tests of models share."""

import pytest

from tests.helpers.transports import CHOSEN


@pytest.fixture(params=["lean", "sdk"])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with either transport; its clients take their settings from `CHOSEN`."""
    monkeypatch.setitem(CHOSEN, "transport", request.param)
    return str(request.param)
