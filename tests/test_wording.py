"""Words of messages: suggestions, and nothing that may be a secret."""

import time

import pytest

from codeact.wording import nearest, without_secrets


@pytest.mark.parametrize(
    "text",
    [
        "model.base_url=http://user:{}@host/v1",
        "+model.api_key={}",
        "model.sampling.extra={{api_key: {}, b: 1}}",
        "model.sampling.extra={{token: {}}}",
        "tracker.token='{}'",
        "model.extra={{Authorization: {}}}",
        "password={}",
        "password: {}",
        "the server says: api_key={}, try again",
        "client = OpenAI(api_key='{}')",
        'os.environ["WANDB_API_KEY"] = "x"; WANDB_API_KEY={}',
        "HF_TOKEN={} python train.py",
        "{{'access_token': '{}', 'id': 3}}",
        'curl -H "Authorization: Bearer {}" http://h/v1',
        "db_password = '{} with words'",
        "password=$x)y{}",
        "+model.extra.token=(({}))",
        "f(password=p1)-{}",
        'password="it\'s {}"',
    ],
)
def test_what_is_called_a_secret_is_left_out(text: str) -> None:
    said = without_secrets(text.format("hunter2"))
    assert "hunter2" not in said
    assert "***" in said


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnopqrstuvwx",
        "sk-proj-A1b2C3d4E5f6G7h8I9j0_K-L",
        "sk-ant-api03-A1b2C3d4E5f6G7h8",
        "hf_AbCdEfGhIjKlMnOpQrStUvWx",
        "ghp_0123456789abcdefABCDEF0123456789abcd",
        "github_pat_11ABCDEFG0123456789_abcdef",
        "glpat-abcdefghij0123456789",
        "xoxb-1234567890-abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "gsk_0123456789abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fw",
        "Bearer 0123456789abcdef0123",
        "key=0123456789abcdef0123456789abcdef01234567",
        "token: 'Zm9vYmFyMTIzNDU2Nzg5MGFiY2Rl'",
    ],
)
@pytest.mark.parametrize("around", ["{}", "print('{}')", "it said {}.", "x = [{}, 1]"])
def test_what_looks_like_a_key_is_left_out_wherever_it_stands(key: str, around: str) -> None:
    secret = key.rsplit(" ", maxsplit=1)[-1].partition("=")[2] or key.rsplit(" ", maxsplit=1)[
        -1
    ].strip("'")
    said = without_secrets(around.format(key))
    assert secret not in said
    assert "***" in said


@pytest.mark.parametrize(
    "text",
    [
        "model.api_key_env=OPENAI_API_KEY",
        "model.sampling.max_tokens=400",
        "limit=3",
        "key=lambda",
        "sorted(x, key=lambda p: p[1])",
        "sorted(words, key = lambda word: (len(word), word))",
        "max(d, key=d.get)",
        "min(points, key=distance)",
        "list.sort(key=str.lower, reverse=True)",
        "groupby(rows, key=itemgetter(1))",
        "token = tokens[i]",
        "token = next(tokens)",
        "for token in text.split(): print(f'token={token}')",
        "if key == 'a' or token != 'b':",
        "key: value",
        "{'key': 'name', 'keys': [1, 2]}",
        "def find(key: str, token: bytes = None) -> str:",
        "primary_key='id', sort_key = 'name'",
        "password = input()",
        "login(user, password=password)",
        "api_key=os.environ['API_KEY']",
        "api_key = config.api.key",
        "The key: a token is a word. Secret: none.",
        "monkey=1, turkey: 2",
        "keyboard = 'qwerty'",
        "tokens: 3, tokens=12",
        "key='hotpotqa/5a7bbb50/train'",
        "https://example.org/a?b=c",
    ],
)
def test_code_and_plain_settings_are_kept(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "part",
    [
        *("a", "a.", "1a", "=", "x='", "://", "sk-", "key", "key=", "key ", "api_key:", "secret_"),
        *("Bearer ", "eyJaaaaaaaa.", "-----BEGIN ", "token\t\t"),
    ],
)
def test_a_megabyte_of_anything_is_gone_through_once(part: str) -> None:
    """A pattern that looks at it again from every place takes hours of CPU."""
    text = part * (2**20 // len(part))
    begun = time.process_time()
    without_secrets(text)
    assert time.process_time() - begun < 20


def test_a_name_far_from_all_is_answered_with_all() -> None:
    assert nearest("zzz", ["b", "a"]) == "valid: a, b"
    assert nearest("gms8k", ["gsm8k", "math"]) == "did you mean 'gsm8k'?"
