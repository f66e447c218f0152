"""Words of messages: suggestions, and nothing that may be a secret."""

import pytest

from codeact.wording import nearest, without_secrets


@pytest.mark.parametrize(
    "text",
    [
        "model.base_url=http://user:hunter2@host/v1",
        "+model.api_key=hunter2",
        "model.sampling.extra={api_key: hunter2, b: 1}",
        "tracker.token='hunter2'",
        "model.extra={Authorization: hunter2}",
    ],
)
def test_what_may_be_a_secret_is_left_out(text: str) -> None:
    assert "hunter2" not in without_secrets(text)


@pytest.mark.parametrize(
    "text", ["model.api_key_env=OPENAI_API_KEY", "model.sampling.max_tokens=400", "limit=3"]
)
def test_plain_settings_are_kept(text: str) -> None:
    assert without_secrets(text) == text


def test_a_name_far_from_all_is_answered_with_all() -> None:
    assert nearest("zzz", ["b", "a"]) == "valid: a, b"
    assert nearest("gms8k", ["gsm8k", "math"]) == "did you mean 'gsm8k'?"
