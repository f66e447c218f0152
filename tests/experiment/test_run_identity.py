"""What a run is: a resume goes on with the same experiment, and says how another one differs."""

import gzip
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.episode.effects import Usage
from codeact.episode.record import VERSION
from codeact.episode.spending import spent_on
from codeact.exceptions import RunFolderError
from codeact.experiment.identity import requested_run
from codeact.experiment.plan import make_plan
from codeact.experiment.summary import summarize_folder
from codeact.recordings.run_folder import EPISODES, RunFolder, latest_records, read_records
from codeact.results.trackers.metrics import numbers
from tests.helpers.records import configured, make_record, summarize

pytestmark = pytest.mark.usefixtures("local_sandbox")

OLD = Path(__file__).parents[1] / "data" / "run_of_version_1"
PAGES = Path(__file__).parents[2] / "codeact" / "sample" / "encyclopaedia.jsonl"
TASKS = "pkg://codeact.sample/tasks"
LIGHT = ["executor.warm=1", "executor.preload=[]", "tracker=none"]


def gsm8k(folder: Path, *words: str) -> int:
    sets = ["task=gsm8k", f"task.sets.gsm8k.path={TASKS}/gsm8k.jsonl"]
    return main(["run", "model=recorded", *sets, *LIGHT, f"run_dir={folder}", *words])


def hotpotqa(folder: Path, *words: str) -> int:
    sets = ["task=hotpotqa", f"task.sets.hotpotqa.path={TASKS}/hotpotqa.jsonl", "limit=1"]
    return main(["run", "model=scripted", *sets, *LIGHT, f"run_dir={folder}", *words])


def test_a_folder_of_before_identities_is_read_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    (digest,) = {record.settings_digest for record in read_records(folder)}
    assert gsm8k(folder, "limit=3", "executor.slots=60") == 0
    assert "2 of 3 episodes are there already" in capsys.readouterr().err
    records = list(read_records(folder))
    assert [record.session for record in records] == [None, None, 2]
    assert {record.settings_digest for record in records} == {digest}
    assert len({record.id for record in records}) == 3
    assert json.loads((folder / "identity.json").read_text())["version"] == 1
    assert summarize_folder(folder).overall.episodes == 3
    before = (folder / EPISODES).read_bytes()
    assert gsm8k(folder, "limit=3", "turns=max3_p2", "grading=mint") == 1
    said = capsys.readouterr().err
    assert 'grading.mode: "strict" there, "mint" here' in said
    assert "turns.max_steps: 5 there, 3 here" in said
    assert (folder / EPISODES).read_bytes() == before


def test_a_folder_with_records_of_version_1_goes_on_with_todays(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(OLD.with_name("run_of_version_2"), folder)
    before = list(read_records(folder))
    assert gsm8k(folder, "limit=4") == 0
    records = list(read_records(folder))
    assert records[:2] == before
    assert [record.version for record in records] == [1, 1, VERSION, VERSION]
    assert len({record.settings_digest for record in records}) == 1
    assert summarize_folder(folder).overall.episodes == 4


def test_an_old_folder_that_lacks_a_setting_of_today_has_its_default(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("  inodes: 16384\n", ""))
    assert gsm8k(folder, "limit=2", "executor.inodes=20000") == 1
    assert gsm8k(folder, "limit=2") == 0


def test_the_content_of_the_search_file_counts_and_its_place_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert hotpotqa(folder) == 0
    with gzip.open(tmp_path / "moved.jsonl.gz", "wb") as packed:
        packed.write(PAGES.read_bytes())
    assert hotpotqa(folder, f"search.path={tmp_path}/moved.jsonl.gz") == 0
    assert len(list(read_records(folder))) == 1
    lines = PAGES.read_bytes().splitlines(keepends=True)
    (tmp_path / "other.jsonl").write_bytes(b"".join(lines[1:]))
    capsys.readouterr()
    assert hotpotqa(folder, f"search.path={tmp_path}/other.jsonl") == 1
    assert "search.content: " in capsys.readouterr().err
    assert hotpotqa(folder, "search=none") == 1
    said = capsys.readouterr().err
    assert 'search.kind: "pages" there, "none" here' in said
    assert "tools.wikipedia_search: " in said


def test_what_is_preloaded_counts_where_there_are_cells_to_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(folder: str, *words: str) -> int:
        return hotpotqa(tmp_path / folder, "limits.max_tokens=1", *words)

    assert play("cells", "executor.preload=[numpy,sympy]") == 0
    assert play("cells", "executor.preload=[sympy,numpy,numpy]") == 0
    assert play("cells", "executor.preload=[numpy]") == 1
    assert 'executor.preload: ["numpy","sympy"] there, ["numpy"]' in capsys.readouterr().err
    for preload in ("[numpy]", "[]"):
        assert play("none", "turns.use_tools=false", f"executor.preload={preload}") == 0


def test_the_executor_counts_and_the_versions_are_those_in_it_docker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hotpotqa(tmp_path / "run", "executor=docker", "executor.image=host") == 0
    (session,) = sessions(tmp_path / "run")
    assert session["sandbox"]["repl"]["packages"]["numpy"]
    assert hotpotqa(tmp_path / "run") == 1
    assert 'executor.kind: "docker" there, "local" here' in capsys.readouterr().err


def test_the_image_counts_by_its_digest(tmp_path: Path) -> None:
    def opened(image: str, digest: str) -> RunFolder:
        words = ["executor=docker", f"executor.image={image}", "limit=1", "task=gsm8k"]
        plan = make_plan(configured(*words, f"task.sets.gsm8k.path={TASKS}/gsm8k.jsonl"))
        return RunFolder.open(
            tmp_path, requested_run(plan, {"image": {"name": image, "digest": digest}})
        )

    folder = opened("mine:1", "sha256:a")
    folder.append(make_record())
    folder.close()
    opened("moved:2", "sha256:a").close()
    with pytest.raises(RunFolderError, match=r'executor\.image: "sha256:a" there, "sha256:b" here'):
        opened("mine:1", "sha256:b")


def test_the_feedback_model_and_its_words_count_and_a_folder_of_before_them_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*words: str) -> RunFolder:
        critic = ["feedback=textual", "model@feedback.model=scripted", *words]
        plan = make_plan(configured("task=gsm8k", f"data={TASKS}", *critic))
        return RunFolder.open(tmp_path, requested_run(plan, {}))

    folder = opened()
    folder.append(make_record())
    folder.close()
    for words, key in (
        (["feedback.model.name=b"], "feedback.model.name"),
        (["feedback=binary"], "feedback.kind"),
        (["feedback.ask_again=1"], "feedback.ask_again"),
    ):
        with pytest.raises(RunFolderError, match=key):
            opened(*words)
    monkeypatch.setattr("codeact.episode.feedback._REQUEST", "Say something else.")
    with pytest.raises(RunFolderError, match=r"feedback\.prompt: .* there"):
        opened()
    identity = json.loads((tmp_path / "identity.json").read_text())
    del identity["values"]["feedback.prompt"]
    (tmp_path / "identity.json").write_text(json.dumps(identity))
    opened().close()


def sessions(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "provenance.json").read_text())["sessions"]
    return found


def test_other_versions_go_on_and_are_told_and_each_record_names_its_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gsm8k(tmp_path, "limit=1") == 0
    assert gsm8k(tmp_path, "limit=2") == 0
    assert "other versions" not in capsys.readouterr().err
    document = json.loads((tmp_path / "provenance.json").read_text())
    repl = document["sessions"][-1]["sandbox"]["repl"]
    assert repl["packages"].keys() >= {"math-verify", "scipy", "sympy", "ipython", "numpy"}
    assert document["sessions"][-1]["packages"].keys() >= {"msgspec", "ray", "pandas", "scipy"}
    repl["packages"]["numpy"] = "1.0.0"
    (tmp_path / "provenance.json").write_text(json.dumps(document))
    assert gsm8k(tmp_path, "limit=3") == 0
    said = capsys.readouterr().err
    assert "goes on under other versions than in session 2: numpy 1.0.0 → " in said
    assert [record.session for record in read_records(tmp_path)] == [1, 2, 3]
    assert [session["number"] for session in sessions(tmp_path)] == [1, 2, 3]


def test_a_folder_that_a_later_codeact_wrote_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gsm8k(tmp_path, "limit=1") == 0
    identity = json.loads((tmp_path / "identity.json").read_text())
    assert identity["version"] == 2
    (tmp_path / "identity.json").write_text(json.dumps({**identity, "version": 3}))
    assert gsm8k(tmp_path, "limit=2") == 1
    assert "later version of codeact" in capsys.readouterr().err


def test_a_folder_without_its_identity_is_known_by_its_digest(tmp_path: Path) -> None:
    assert gsm8k(tmp_path, "limit=1") == 0
    (tmp_path / "identity.json").unlink()
    assert gsm8k(tmp_path, "limit=2") == 0
    assert json.loads((tmp_path / "identity.json").read_text())["version"] == 2
    assert Counter(record.sample for record in latest_records(tmp_path)) == {0: 2}


def test_a_record_names_what_was_reused_and_the_rest_is_spent() -> None:
    record = make_record()
    (turn,) = record.turns
    turn.feedback_usage = record.feedback_usage = Usage(100, 10)
    turn.reused, turn.cost, turn.feedback_cost = True, 0.0, 0.25
    spent = spent_on(record)
    assert (spent.tokens, spent.cost) == (110, 0.25)
    summary = summarize(record)
    tally = summary.overall
    assert (tally.usage.total, tally.feedback_usage.total) == (5, 110)
    assert (tally.fresh.total, tally.fresh_feedback.total) == (0, 110)
    assert (tally.reused, tally.feedback_reused) == (1, 0)
    assert numbers(summary)["tokens/fresh"] == 110
