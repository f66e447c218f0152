"""Conversion to text: what each chat format writes, what is trained of it, whose templates run."""

from pathlib import Path

import pytest

from codeact.cli import main
from codeact.collection.formats import convert_files
from codeact.collection.rendering import TemplateProcess
from codeact.collection.templates import CompiledTemplate, TemplateFailure
from codeact.exceptions import ConfigError, RecordingError
from codeact.resources import resolve_path
from tests.helpers.conversations import (
    ANSWER,
    CODE_TURN,
    FAILED,
    FINE,
    config,
    conversation,
    lines,
    write,
)
from tests.helpers.tokenizer_folders import GENERATION, tokenizer_folder

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 1?\n"},
    {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\n 2"},
    {"role": "user", "content": "And 2 + 2?"},
    {"role": "assistant", "content": "4"},
]
GOLDEN = {
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?\n<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nEasy.\n</think>\n\n 2<|im_end|>\n"
        "<|im_start|>user\nAnd 2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n",
        ["<think>\nEasy.\n</think>\n\n 2<|im_end|>", "4<|im_end|>"],
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n1 + 1?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n<think>\nEasy.\n</think>\n\n 2<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd 2 + 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n4<|eot_id|>",
        ["<think>\nEasy.\n</think>\n\n 2<|eot_id|>", "4<|eot_id|>"],
    ),
    "qwen3": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?\n<|im_end|>\n"
        "<|im_start|>assistant\n 2<|im_end|>\n<|im_start|>user\nAnd 2 + 2?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n4<|im_end|>\n",
        [" 2<|im_end|>", "4<|im_end|>"],
    ),
}
"""By the formats' public descriptions; tests/collection/test_training.py asks transformers, too."""
STOPS = {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "qwen3": "<|im_end|>"}


def own_template(name: str) -> CompiledTemplate:
    path = resolve_path(f"pkg://codeact.collection/chat_templates/{name}.jinja")
    return CompiledTemplate(path.read_text(), {})


@pytest.mark.parametrize("name", GOLDEN)
def test_a_format_is_rendered_to_the_letter(name: str) -> None:
    text, generated = GOLDEN[name]
    found = own_template(name).render(MESSAGES, {})
    assert found.text == text
    assert [found.text[start:end] for start, end in found.generated] == generated


def test_qwen3_trains_the_thoughts_that_it_shows_and_no_empty_ones() -> None:
    found = own_template("qwen3").render(MESSAGES[:3], {})
    assert found.text.endswith("assistant\n<think>\nEasy.\n</think>\n\n 2<|im_end|>\n")
    ((start, end),) = found.generated
    assert found.text[start:end] == "<think>\nEasy.\n</think>\n\n 2<|im_end|>"


@pytest.mark.parametrize("name", STOPS)
def test_every_trained_span_ends_with_the_stop_token_and_has_no_header(
    name: str, tmp_path: Path
) -> None:
    cut = f"{CODE_TURN}. It prints 2."
    lost = "<execute> a = 1 </execute> Then <execute> a </execute>"
    source = write(
        tmp_path / "in" / "easy.jsonl",
        conversation(1, cut, FINE, lost, FAILED, CODE_TURN, FINE, ANSWER),
    )
    convert_files(config(source, tmp_path / "out", f"format={name}"))
    (made,) = lines(tmp_path / "out" / "easy.jsonl")
    trained = [made["text"][start:end] for start, end in made["spans"]]
    assert trained == [f"{one}{STOPS[name]}" for one in (CODE_TURN, CODE_TURN, ANSWER)]
    assert lost in made["text"]


def test_a_preset_chooses_among_the_turns_and_null_gives_no_mask(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    convert_files(config(source, tmp_path / "a", "format=chatml", "loss=successful_tail"))
    (made,) = lines(tmp_path / "a" / "easy.jsonl")
    trained = [made["text"][start:end] for start, end in made["spans"]]
    assert trained == [f"{CODE_TURN}<|im_end|>", f"{ANSWER}<|im_end|>"]
    assert made["text"].index(CODE_TURN) < made["text"].index(FAILED) < made["spans"][0][0]
    convert_files(config(source, tmp_path / "b", "format=chatml", "loss=null"))
    (plain,) = lines(tmp_path / "b" / "easy.jsonl")
    assert plain == {"id": made["id"], "text": made["text"]}


@pytest.mark.parametrize(
    ("name", "said"),
    [("chatml", "<|im_end|>"), ("llama3", "<|eot_id|>"), ("qwen3", "<|endoftext|>")],
)
def test_text_that_would_be_a_token_of_the_format_is_left_out_and_listed(
    name: str, said: str, tmp_path: Path
) -> None:
    forged = conversation(2, f"<execute> print('{said}') </execute>", FINE, ANSWER)
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1), forged)
    done = convert_files(config(source, tmp_path / "out", f"format={name}"))
    assert done.examples == {"easy.jsonl": 1}
    (problem,) = done.problems
    assert "math/2/" in problem.place
    assert problem.reason == (
        f"is left out: its message 3 says {said}, which is a token of the format's own"
    )


# Templates of tokenizer folders


@pytest.mark.parametrize("apart", [True, False])
def test_a_folders_template_is_rendered_with_its_tokens_and_masked_by_its_blocks(
    apart: bool, tmp_path: Path
) -> None:
    folder = tokenizer_folder(tmp_path / "model", GENERATION, apart=apart)
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, CODE_TURN, FINE, ANSWER))
    chosen = ("format=template", f"template={folder}", "loss=last")
    convert_files(config(source, tmp_path / "out", *chosen))
    (made,) = lines(tmp_path / "out" / "easy.jsonl")
    assert made["text"].startswith("<s><|im_start|>system\nUse <execute>.<|im_end|>\n")
    assert [made["text"][start:end] for start, end in made["spans"]] == [f"{ANSWER}<|im_end|>"]


def test_a_template_that_marks_nothing_is_refused_and_never_trains_all(tmp_path: Path) -> None:
    folder = tokenizer_folder(
        tmp_path / "model", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    chosen = ("format=template", f"template={folder}")
    with pytest.raises(ConfigError, match=r"has no \{% generation %\} block.*loss=null"):
        convert_files(config(source, tmp_path / "out", *chosen))
    assert not (tmp_path / "out").exists()
    convert_files(config(source, tmp_path / "out", *chosen, "loss=null"))
    (made,) = lines(tmp_path / "out" / "easy.jsonl")
    assert made["text"].startswith("system: Use <execute>.\nuser: Task:\n")
    assert "spans" not in made


STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}] "
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


def test_a_refused_system_message_is_said_and_can_be_merged(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "model", STRICT)
    odd = conversation(2, CODE_TURN, FINE, FINE, ANSWER)
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, ANSWER), odd)
    chosen = ("format=template", f"template={folder}")
    with pytest.raises(RecordingError, match="its template says: System role not supported"):
        convert_files(config(source, tmp_path / "out", *chosen))
    done = convert_files(config(source, tmp_path / "out", *chosen, "system=merge"))
    (made,) = lines(tmp_path / "out" / "easy.jsonl")
    assert made["text"].startswith("[user] Use <execute>.\n\nTask:\nAdd 1 and 1.[assistant] ")
    (problem,) = done.problems
    assert problem.reason == "is left out: its template says: roles must alternate"


def test_variables_reach_the_template(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "model", "{{ date_string }}" + GENERATION)
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    chosen = ("format=template", f"template={folder}", "variables={date_string: 26 Jul 2024}")
    convert_files(config(source, tmp_path / "out", *chosen))
    assert lines(tmp_path / "out" / "easy.jsonl")[0]["text"].startswith("26 Jul 2024<s>")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% for m in messages %}{% generation %}x{% endgeneration %}{% endfor %}",
            "marks 5 texts",
        ),
        (
            "{% for m in messages if m.role == 'assistant' %}"
            "{% generation %}x{% endgeneration %}{% endfor %}",
            "marks something else",
        ),
        (
            "{% macro a(m) %}> {% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
            "{% for m in messages if m.role == 'assistant' %}{{ a(m) }}{% endfor %}",
            "stands in a macro",
        ),
        (
            GENERATION.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>"),
            r"before <\|im_end\|>, so a model would not learn to end its turn",
        ),
    ],
)
def test_blocks_that_do_not_fit_the_turns_give_no_mask(
    template: str, said: str, tmp_path: Path
) -> None:
    folder = tokenizer_folder(tmp_path / "model", template)
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, CODE_TURN, FINE, ANSWER))
    with pytest.raises(RecordingError, match=said):
        convert_files(config(source, tmp_path / "out", "format=template", f"template={folder}"))


def test_of_several_templates_the_default_is_taken(tmp_path: Path) -> None:
    named = [
        {"name": "tool_use", "template": "{{ raise_exception('no') }}"},
        {"name": "default", "template": GENERATION},
    ]
    folder = tokenizer_folder(tmp_path / "model", named)
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    done = convert_files(config(source, tmp_path / "out", "format=template", f"template={folder}"))
    assert done.examples == {"easy.jsonl": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no chat template"),
        ('{"chat_template": [{"name": "rag", "template": "x"}]}', "no template 'default', but rag"),
        ('{"chat_template": "{% if %}"}', "is no template: line 1"),
        ("[", "is no JSON"),
        ("[]", "is no JSON object"),
    ],
)
def test_a_folder_without_a_usable_template_is_refused(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if content is not None:
        (folder / "tokenizer_config.json").write_text(content)
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    words = ["convert", str(source), f"out={tmp_path / 'out'}", "format=template"]
    assert main([*words, f"template={folder}"]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# A stranger's template is a program


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{% for a in range(10 ** 9) %}{% endfor %}", "too big"),
        ("{{ 'a' * (2 ** 34) }}", "MemoryError"),
        (
            "{% for a in range(9999) %}{{ 'a' * 1000 }}{% endfor %}",
            "more than 1,048,576 characters",
        ),
    ],
)
def test_a_template_gets_no_further_than_its_bounds(template: str, said: str) -> None:
    with (
        TemplateProcess("template=x", template, {}, {}) as process,
        pytest.raises(TemplateFailure, match=said),
    ):
        process.render(MESSAGES)


def test_a_template_that_never_ends_ends_the_command() -> None:
    forever = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with (
        TemplateProcess("template=x", forever, {}, {}, seconds=1) as process,
        pytest.raises(ConfigError, match="template=x: takes more than 1 seconds"),
    ):
        process.render(MESSAGES)


def test_a_templates_process_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment is there to be read, should the sandbox ever leak."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with TemplateProcess("template=x", "hello", {}, {}) as process:
        pid = process._process.pid  # type: ignore[union-attr]
        names = Path(f"/proc/{pid}/environ").read_bytes()
        assert process.render(MESSAGES).text == "hello"
    assert b"sk-secret" not in names
    assert b"PYTHONPATH" in names
