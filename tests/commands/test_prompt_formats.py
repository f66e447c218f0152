"""Action formats as a user chooses them: a sweep over all, styles, refusals, people."""

import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.recordings.run_folder import latest_records
from tests.helpers.commands import codeact
from tests.helpers.formats import FORMATS
from tests.helpers.records import configured

TASK = ["task=gsm8k", "data=pkg://codeact.sample/tasks", "executor.preload=[]", "limit=1"]
RUN = [*TASK, "tracker=none", "model=scripted"]
ANSWERS = ["<solution>28</solution>", "ANSWER: 28", "Answer: 28", json.dumps({"answer": "28"})]
"""Each format understands one of them."""
STYLES = ("example", "thought", "system", "response_format")


@pytest.mark.usefixtures("local_sandbox")
def test_all_formats_are_one_sweep(tmp_path: Path) -> None:
    texts = f"model.texts={json.dumps(ANSWERS)}"
    words = ["run", "-m", f"prompt={','.join(FORMATS)}", *RUN, texts, f"run_dir={tmp_path}"]
    assert main(words) == 0
    records = [record for path in tmp_path.iterdir() if path.is_dir()
               for record in latest_records(path)]  # fmt: skip
    solved = {record.prompt: record.outcome.success for record in records}
    assert solved == {name: name not in ("code_tool", "tool_calls") for name in FORMATS}
    settings = {record.turn_setting for record in records if record.prompt != "direct"}
    assert settings == {"max5_p2+tool+cd"}
    assert {r.turn_setting for r in records if r.prompt == "direct"} == {"max1_p1+cd"}
    for path in tmp_path.iterdir():
        if path.is_dir():
            conduct = json.loads((path / "summary.json").read_text())["conduct"]
            assert conduct["messages"] == sum(len(r.turns) for r in latest_records(path))


def test_nothing_differs_in_a_sweep_but_the_prompt() -> None:
    usual = configured("prompt=code").identity()
    for name in FORMATS:
        identity = configured(f"prompt={name}").identity()
        assert identity.pop("prompt") == {"strategy": name}
        if name == "direct":
            identity["turns"] |= {
                "max_steps": 5,
                "max_propose_solution": 2,
                "use_tools": True,
            }
        assert identity == {key: value for key, value in usual.items() if key != "prompt"}


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_part_of_a_runs_identity_where_it_is_not_the_usual(name: str) -> None:
    prompt = configured("prompt=json_code").prompt
    other = not getattr(prompt, name)
    changed = configured("prompt=json_code", f"prompt.{name}={other}")
    assert changed.identity()["prompt"] == {"strategy": "json_code", name: other}
    assert changed.digest != configured("prompt=json_code").digest


REFUSED = [
    (["prompt=tool_calls", "model=openai", "model.name=m", "model.api=completion"],
     "which plain completions do not have: give model.api=chat"),
    (["prompt=code_tool", "model=person"], "a person writes text (model=person)"),
    (["prompt=code_tool", "step=true"], "a person writes text (step=true)"),
    (["prompt=recorded", "prompt.source=pkg://codeact.sample/recordings", "prompt.system=true"],
     "prompt=recorded has the recorded words"),
    (["prompt=fenced"], "prompt has no option 'fenced'"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_spent(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [word for word in RUN if not word.startswith("model=")]
    given = model if any(word.startswith("model=") for word in words) else RUN
    assert main(["run", *given, "model.texts=[x]" if given is RUN else "dry_run=false", *words,
                 f"run_dir={tmp_path}/run"]) == 1  # fmt: skip
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_shows_the_words_and_the_example_with_its_calls(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["run", *RUN, "model.texts=[x]", "prompt=code_tool", "prompt.system=true"]
    assert main([*words, "dry_run=true"]) == 0
    shown = capsys.readouterr().out
    assert "With answer" not in shown
    assert "2) answer(value) gives your final answer" in shown
    assert 'answer({"value": ' in shown


@pytest.mark.usefixtures("local_sandbox")
def test_a_person_plays_in_another_format_and_is_its_user(tmp_path: Path) -> None:
    cell = "```python\nx = 4\n\nprint(x * 7)\n```\n\n"
    words = ["prompt=code_fenced", f"run_dir={tmp_path}/play"]
    done = codeact("play", *TASK, *words, given=f"{cell}ANSWER: 28\n\n")
    assert done.returncode == 0, done.stderr
    (record,) = latest_records(tmp_path / "play")
    assert record.outcome.success
    assert record.turns[0].observation == "28"
    texts = f"model.texts={json.dumps(ANSWERS[-1:])}"
    words = ["prompt=json", "model=scripted", texts, f"run_dir={tmp_path}/chat"]
    done = codeact("chat", *words, "executor.preload=[]", given="6 * 7?\n\ny\n")
    assert done.returncode == 0, done.stderr
    (record,) = latest_records(tmp_path / "chat")
    assert (record.prompt, record.outcome.success) == ("json", True)
