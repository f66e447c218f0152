"""Conversion: formats, masks, tags, preference pairs, and what is never half-written."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from codeact.cli import main
from codeact.collection.actions import own_part
from codeact.collection.convert_settings import ConvertConfig
from codeact.collection.formats import convert_files
from codeact.collection.masks import Preset, loss_mask
from codeact.collection.tags import Marks, TagSettings, rewritten
from codeact.episode.record import EpisodeOrigin, encode
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
from codeact.resources import data_folder, resolve_path
from tests.collection.test_collection import (
    CODE,
    FIRST,
    PROPOSAL,
    WORKED,
    line,
    recorded,
    run_record,
)
from tests.helpers.conversations import (
    ANSWER,
    CODE_TURN,
    FAILED,
    FINE,
    WRONG,
    config,
    conversation,
    lines,
    messages,
    write,
)

SAMPLE = resolve_path("pkg://codeact.sample/recordings")
SHARED = Path(__file__).parents[3] / "shared" / "data" / "transcripts"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared recordings (../shared/data) are not here"
)

MARKDOWN = TagSettings(
    execute=Marks(open="```python\n", close="\n```"), solution=Marks(open="**", close="**")
)


@pytest.mark.parametrize("option", [path.stem for path in data_folder("conf").glob("tags/*.yaml")])
def test_every_tags_option_composes_and_names_every_key(option: str) -> None:
    found = compose_config(Invocation("convert", ("source=x", "out=y", f"tags={option}")))
    chosen = validated(ConvertConfig, found)
    assert set(found.config) == set(ConvertConfig.model_fields)
    assert set(found.config["tags"]) == set(chosen.tags.model_dump())


# Masks


@pytest.mark.parametrize(
    ("texts", "worked", "tail"),
    [
        ((CODE_TURN, FINE, ANSWER), [0, 2], [0, 2]),
        ((CODE_TURN, FAILED, CODE_TURN, FINE, ANSWER), [2, 4], [2, 4]),
        ((CODE_TURN, FINE, CODE_TURN, FAILED, ANSWER), [0, 4], [4]),
        ((ANSWER, WRONG, CODE_TURN, FINE, ANSWER), [2, 4], [2, 4]),
        (("I wonder.", FINE, CODE_TURN, FINE, ANSWER), [2, 4], [2, 4]),
        ((ANSWER,), [0], [0]),
    ],
)
def test_masks_leave_failed_turns_out(
    texts: tuple[str, ...], worked: list[int], tail: list[int]
) -> None:
    def trained(preset: Preset) -> list[int]:
        mask = loss_mask(messages(*texts), preset)  # type: ignore[arg-type]
        return [number - 2 for number, yes in enumerate(mask) if yes]

    assert trained("worked") == worked
    assert trained("successful_tail") == tail
    assert trained("last") == [len(texts) - 1]
    assert trained("all") == list(range(0, len(texts), 2))


def test_what_an_expert_says_of_errors_is_no_error() -> None:
    feedback = f"{FINE}\n\nExpert feedback:\nNameError: is what you would get"
    mask = loss_mask(messages(CODE_TURN, feedback, ANSWER), "worked")  # type: ignore[arg-type]
    assert mask == [False, False, True, False, True]


# Tags


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I add: <execute> 1 + 1 </execute>.", "I add:\n```python\n1 + 1\n```"),
        ("<execute>\n1\n</execute> So?", "```python\n1\n```\nSo?"),
        ("<solution>A</solution> <execute>1</execute>", "**A**\n```python\n1\n```"),
        ("<execute>s = '```'</execute>", "````python\ns = '```'\n````"),
        ("It is <solution> A </solution>.", "It is **A**."),
        ('Use the "<execute>" tag.', "Use a fenced code block."),
        ("The <execute> and </execute> tags run code.", "A fenced code block run code."),
        ("Put it in the proper solution tags, please.", "Put it in bold type, please."),
        ("Use the correct tags, not those tags.", "Use the correct format, not this format."),
        ("Use <execute> or <solution>.", "Use a fenced code block or bold type."),
        ("Explain in the <thought> tag.", "Explain in plain text."),
        ("**Step 1**: <solution> x**2 + y**2 </solution>", "Step 1: **x**2 + y**2**"),
        ("Given `df`, within <execute> block.", "Given `df`, within a fenced code block."),
        ("Open <b> tags are HTML; a tag team.", "Open <b> tags are HTML; a tag team."),
        ("<execute>\nnever closed", "```python\nnever closed"),
    ],
)
def test_a_form_has_its_marks_and_its_words(text: str, said: str) -> None:
    name = {"execute": "a fenced code block", "solution": "bold type"}
    marks = MARKDOWN.model_dump()
    for tag, words in name.items():
        marks[tag]["name"] = words
    made = rewritten(text, TagSettings(**marks))
    assert [one.rstrip() for one in made.split("\n")] == said.split("\n")
    assert rewritten(text, TagSettings(execute=None, solution=None)) == text


def test_what_was_printed_and_what_a_task_asks_keep_words_of_other_tags() -> None:
    for text in ("Task:\nCount the proper tags of a page.", "Observation:\nuse these tags\n"):
        assert rewritten(text, MARKDOWN) == text
    feedback = "Observation:\nthese tags\n\nExpert feedback:\nUse these tags.\n"
    assert rewritten(feedback, MARKDOWN).count("these tags") == 1


def test_words_of_a_kept_form_are_replaced_and_nothing_else() -> None:
    tags = TagSettings(execute=None, solution=None, words=[{"old": "a", "new": "b"}])  # type: ignore[list-item]
    assert rewritten("a <execute> 1 </execute> the correct tags", tags) == (
        "b <execute> 1 </execute> the correct tbgs"
    )


def test_a_form_without_a_name_goes_by_its_marks() -> None:
    tags = TagSettings(execute=Marks(open="<code>", close="</code>"), solution=None)
    assert rewritten("Put the code between execute tags: <execute> 1 </execute>", tags) == (
        "Put the code in <code> … </code>: <code>1</code>"
    )


def test_megabytes_of_tags_take_linear_time() -> None:
    for text in ("<execute>" * 100_000, "<execute> </execute>" * 50_000, "</solution>" * 100_000):
        assert len(rewritten(text, MARKDOWN)) < 4 * len(text)
        own_part(text)


# Whole conversations in every form


SOURCES = [
    pytest.param(SAMPLE, "ours", id="sample"),
    pytest.param(SAMPLE, "published", id="sample-published"),
    pytest.param(SHARED, "ours", id="shared", marks=needs_shared),
    pytest.param(SHARED, "published", id="shared-published", marks=needs_shared),
]
FORMS = [path.stem for path in data_folder("conf").glob("tags/*.yaml")]
ONE_ACTION = re.compile(r"<(execute|solution)>.*?</\1>", re.DOTALL)


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """Conversations of a source by a preset, without what would leave only some of them."""
    made: dict[tuple[Path, str], Path] = {}

    def get(source: Path, preset: str) -> Path:
        if (source, preset) not in made:
            out = made[source, preset] = tmp_path_factory.mktemp("selected") / "s"
            steps = ["selection.steps.per_task=null"] if preset == "ours" else []
            main(["select", str(source), f"out={out}", f"selection={preset}", *steps])
        return made[source, preset]

    return get


def converted(source: Path, out: Path, *overrides: str) -> dict[str, dict]:
    """Every conversation by its file and place."""
    convert_files(config(source, out, *overrides))
    return {
        f"{path.name}:{number}": msgspec.json.decode(one)
        for path in sorted(out.glob("*.jsonl"))
        for number, one in enumerate(path.read_bytes().splitlines())
    }


Convert = Callable[..., dict[str, dict]]


@pytest.fixture(scope="module")
def in_form(
    selected: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Convert:
    """Conversations of a source by a preset in some form; what several tests read is kept."""
    made: dict[tuple[Path, str, tuple[str, ...]], dict[str, dict]] = {}
    shared = ({"loss": "null"}, {"format": "sft", "loss": "all"}, {"tags": "keep"})

    def get(source: Path, preset: str, **given: str) -> dict[str, dict]:
        chosen = {"format": "sft", "loss": "all", "tags": "keep"} | given
        words = tuple(f"{key}={value}" for key, value in chosen.items())
        if (found := made.get((source, preset, words))) is None:
            out = tmp_path_factory.mktemp("converted") / "c"
            found = converted(selected(source, preset), out, *words)
            if given in shared:
                made[source, preset, words] = found
        return found

    return get


@pytest.mark.parametrize(("source", "preset"), SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_no_word_of_a_conversation_contradicts_its_form(
    source: Path, preset: str, form: str, in_form: Convert
) -> None:
    """Reads all that is said: instruction, task, hints, feedback, and the model's own words."""
    found = in_form(source, preset, tags=form)
    said: dict[str, set[str]] = {"system": set(), "user": set(), "assistant": set()}
    for one in found.values():
        assert one["conversations"][0]["role"] == "system"
        for message in one["conversations"]:
            said[message["role"]].add(message["content"])
    assert all(said.values())
    if form == "keep":
        check_kept(said, ours=preset == "ours")
    else:
        check_markdown(said)


def check_kept(said: dict[str, set[str]], *, ours: bool) -> None:
    for words in said["system"]:
        assert ("<execute>" in words) and ("<solution>" in words)
        assert "```" not in words
    for words in said["system"] | said["assistant"]:
        assert not (ours and "<thought>" in words)


def check_markdown(said: dict[str, set[str]]) -> None:
    for words in said["system"]:
        assert not re.search(r"\btags?\b|execute>|solution>|enclosed", words), words
        assert words.count("```python\n") == words.count("\n```\n") == 1
        assert "in a fenced code block, for example:\n```python\n" in words
    for text in said["user"] | said["assistant"]:
        assert not re.search(r"</?(execute|solution)\b", text), text
        if "I don't understand your input." in text:
            assert "please use\n```python\nYOUR_CODE_HERE\n```\nIf" in text
            assert "please use **YOUR_SOLUTION_HERE**." in text
    about = r"\b(execute|solution)\W{1,3}tags?\b|\b(correct|proper|appropriate) tags?\b"
    feedback = {text.partition("\n\nExpert feedback:\n")[2] for text in said["user"]}
    for text in feedback | said["assistant"]:
        assert "tag" not in text.lower() or not re.search(about, text, re.IGNORECASE), text
    for text in said["assistant"]:
        # A fence that is opened is closed, and nothing stands beside its marks.
        fences = [one for one in text.split("\n") if "```" in one]
        assert all(re.fullmatch(r"`{3,}(python)?", fence) for fence in fences[:1]), text


@pytest.mark.parametrize(("source", "preset"), SOURCES)
@pytest.mark.parametrize("loss", ["all", "worked", "successful_tail", "last"])
def test_nothing_after_the_first_action_of_a_turn_is_trained(
    source: Path, preset: str, loss: Preset, in_form: Convert
) -> None:
    plain = in_form(source, preset, loss="null")
    trained = dict.fromkeys(("sft", "openai"), 0)
    seen: set[tuple[str, int]] = set()
    for form in trained:
        found = in_form(source, preset, format=form, loss=loss)
        assert found.keys() == plain.keys()
        for key, one in found.items():
            for before, message in zip(
                plain[key]["conversations"],
                one.get("conversations") or one["messages"],
                strict=True,
            ):
                text, was = message["content"], before["content"]
                whole = message.get("loss") or message.get("weight") == 1
                spans = message.get("spans") or ([[0, len(text)]] if whole else [])
                assert was.startswith(text)
                assert form == "openai" or was == text
                for start, end in spans:
                    assert message["role"] == "assistant"
                    assert start == 0
                    trained[form] += end
                    seen.add((was, end))
    for was, end in seen:
        first = ONE_ACTION.search(was)
        assert end <= (first.end() if first else len(was)), was
        assert not re.search(HEADING, was[:end]), was
    assert trained["sft"] >= trained["openai"] > 0


HEADING = re.compile(r"^(Observation|Expert feedback):\s*$|^You have \d+ steps? left", re.MULTILINE)


def test_a_span_is_where_its_action_ends_in_every_form(tmp_path: Path) -> None:
    said = "I try: <execute> 1 + 1 </execute>. It prints 2."
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, said, FINE, ANSWER))
    (plain,) = converted(source, tmp_path / "a").values()
    _, _, first, _, last = plain["conversations"]
    assert (first["content"], first["loss"]) == (said, False)
    assert first["spans"] == [[0, said.index(". It")]]
    assert (last["loss"], "spans" in last) == (True, False)
    (marked,) = converted(source, tmp_path / "b", "tags=markdown").values()
    first = marked["conversations"][2]
    ((start, end),) = first["spans"]
    assert first["content"][start:end] == "I try:\n```python\n1 + 1\n```"
    assert first["content"][end:] == "\nIt prints 2."
    (cut,) = converted(source, tmp_path / "c", "tags=markdown", "format=openai").values()
    assert cut["messages"][2] == {
        "role": "assistant",
        "content": "I try:\n```python\n1 + 1\n```",
        "weight": 1,
    }


@pytest.mark.parametrize(
    "said",
    [
        "<execute> a = 1 </execute> Then <execute> a </execute>",
        "<execute> a = 1 </execute> <solution> never closed",
        "<execute> <solution> 2 </solution> </execute>",
        "I look.\nObservation:\n2\n<execute> 2 </execute>",
    ],
)
def test_a_turn_that_cannot_be_cut_is_not_trained_where_masks_are_of_whole_messages(
    said: str, tmp_path: Path
) -> None:
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1, said, FINE, ANSWER))
    (made,) = converted(source, tmp_path / "out", "format=openai").values()
    assert made["messages"][2] == {"role": "assistant", "content": said, "weight": 0}
    assert made["messages"][4]["weight"] == 1


def test_an_unknown_instruction_is_never_left_as_it_is_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = conversation(2)
    strange["conversations"][0]["content"] = "Wrap all that shall run in the usual tags."
    fenced = conversation(3, "```python\n1 + 1\n```", FINE, ANSWER)
    source = write(tmp_path / "in" / "easy.jsonl", conversation(1), strange, fenced)
    words = ["convert", str(source), "tags=markdown"]
    assert main([*words, f"out={tmp_path / 'out'}"]) == 1
    shown = capsys.readouterr()
    assert (
        "math/2/m/s: is left out: it would still say 'Wrap all that shall run in the usual tags'"
        in shown.err
    )
    assert "math/3/m/s: is left out: the model wrote ```" in shown.err
    assert ": 1 examples" in shown.out
    told = "tags.words=[{old: in the usual tags, new: in a fenced code block}]"
    assert main([*words, told, f"out={tmp_path / 'again'}"]) == 1
    system = lines(tmp_path / "again" / "easy.jsonl")[1]["conversations"][0]["content"]
    assert system == "Wrap all that shall run in a fenced code block."


# Formats


def test_sft_is_the_same_again_with_a_mask(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "easy.jsonl", conversation())
    convert_files(config(source, tmp_path / "plain", "loss=null"))
    assert (lines(tmp_path / "plain" / "easy.jsonl")) == [conversation()]
    convert_files(config(source, tmp_path / "masked", "loss=successful_tail"))
    (masked,) = lines(tmp_path / "masked" / "easy.jsonl")
    trained = [one.pop("loss") for one in masked["conversations"]]
    assert trained == [False, False, False, False, True, False, True]
    assert masked == conversation()


def test_openai_has_weights_for_the_assistant_and_nothing_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    source = tmp_path / "easy.jsonl.gz"
    source.write_bytes(gzip.compress(json.dumps(conversation()).encode() + b"\n"))
    convert_files(config(source, tmp_path / "out", "format=openai", "loss=last"))
    (made,) = lines(tmp_path / "out" / "easy.jsonl")
    assert list(made) == ["messages"]
    weights = [one.pop("weight", None) for one in made["messages"]]
    assert weights == [None, None, 0, None, 0, None, 1]
    assert made["messages"] == conversation()["conversations"]


def test_hf_is_read_by_its_library_with_a_split_for_each_file(tmp_path: Path) -> None:
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    write(tmp_path / "in" / "easy.jsonl", conversation(1), conversation(2))
    write(tmp_path / "in" / "hard-one.jsonl", conversation(3))
    out = tmp_path / "out"
    convert_files(config(tmp_path / "in", out, "format=hf"))
    made = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in made.items()} == {"easy": 2, "hard_one": 1}
    (row,) = made["hard_one"]
    assert [one.pop("loss") for one in row["conversations"]].count(True) == 3
    assert row == conversation(3)
    card = DatasetCard.load(out / "README.md")
    assert len(card.data.to_dict()["configs"][0]["data_files"]) == 2
    assert card.data.license == "other"
    assert "| easy | 2 |" in card.text
    assert "unknown: no report.json lay beside" in card.text
    assert {path.name for path in out.iterdir()} == {"README.md", "data"}


def test_the_card_says_licence_models_runs_settings_and_selection(tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    recorded(tmp_path / "tree", line(1), line(2), model="claude-2")
    run = tmp_path / "my|run"
    run.mkdir()
    record = run_record("7")
    (run / "episodes.jsonl").write_bytes(encode(record) + b"\n")
    played = "{model: {kind: server, model: /models/m, sampling: {temperature: 0.5}}, seed: 3}"
    (run / "config.yaml").write_text(played)
    sessions = [{"codeact": "0.1", "git": {"commit": one}} for one in ("c0ffee", "c0ffee", "beef")]
    (run / "provenance.json").write_text(json.dumps({"sessions": sessions}))
    words = ["selection.filters=[invalid_only,trailing_text]", "selection.steps.duplicates=null"]
    select = ["select", str(tmp_path / "tree"), str(run), f"out={tmp_path / 'selected'}", *words]
    assert main(select) == 0
    (tmp_path / "selected" / "strong.jsonl").unlink()
    (tmp_path / "selected" / "medium.jsonl").unlink()
    words = ["format=hf", "licence=cc-by-4.0", "loss=worked", "tags=markdown"]
    assert main(["convert", str(tmp_path / "selected"), f"out={tmp_path / 'out'}", *words]) == 0
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "cc-by-4.0"
    for said in (
        "| claude-2 | max5_p2+tool+cd | none | published recordings | 2 | 2 |",
        "| m | max5_p2+tool+cd | none | my\\|run | 1 | 1 |",
        'model.model: m; model.sampling: {"temperature":0.5}; codeact: 0.1; commit: c0ffee, beef',
        "selection=ours, with filters=['invalid_only', 'trailing_text'], steps.duplicates=null",
        "| records | 3 | 0 | 0 |",
        "by the preset `worked`",
        "- code: a fenced code block",
    ):
        assert said in card.text, said


def test_a_card_without_a_licence_says_what_to_check(tmp_path: Path) -> None:
    recorded(tmp_path / "tree", line(1), model="claude-2")
    assert main(["select", str(tmp_path / "tree"), f"out={tmp_path / 's'}"]) == 0
    convert_files(config(tmp_path / "s" / "easy.jsonl", tmp_path / "out", "format=hf"))
    text = (tmp_path / "out" / "README.md").read_text()
    assert "license: other\nlicense_name: unknown\n" in text
    assert "tasks are from (gsm8k)" in text
    assert "may train others (claude-2)" in text


def test_a_push_that_fails_says_so_and_leaves_the_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from datasets import DatasetDict

    def down(*_: object, **__: object) -> None:
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(DatasetDict, "push_to_hub", down)
    source = write(tmp_path / "easy.jsonl", conversation())
    words = ["convert", str(source), f"out={tmp_path / 'out'}", "format=hf", "push=true"]
    assert main(words) == 1
    assert "needs format=hf and repository=" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "repository=me/data"]) == 1
    assert "me/data: could not be pushed (the hub cannot be reached)" in capsys.readouterr().err
    assert (tmp_path / "out" / "README.md").exists()


@pytest.mark.parametrize("form", ["sft", "openai", "hf"])
def test_broken_lines_are_said_with_their_place_and_the_rest_converted(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "easy.jsonl", conversation())
    source.write_text(source.read_text() + "{\n")
    assert main(["convert", str(source), f"out={tmp_path / 'out'}", f"format={form}"]) == 1
    shown = capsys.readouterr()
    assert shown.err.count(f"{source}:2: is no conversation") == 1
    assert ": 1 examples" in shown.out


@pytest.mark.parametrize("form", ["sft", "hf"])
def test_nothing_is_written_where_nothing_comes_out(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "easy.jsonl"
    source.write_text("{\n")
    assert main(["convert", str(source), f"out={tmp_path / 'out'}", f"format={form}"]) == 1
    assert f"{source}:1: is no conversation" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_is_not_replaced_by_its_own_conversion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "easy.jsonl", conversation())
    assert main(["convert", str(source), f"out={tmp_path}"]) == 1
    assert "would replace" in capsys.readouterr().err
    assert lines(source) == [conversation()]


# Preference pairs


def test_pairs_share_their_task_and_first_message(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    long = [CODE, WORKED, CODE, WORKED, PROPOSAL]
    other = line(3, success=False).replace("Be brief.", "Be long.")
    recorded(tree, line(1, long), line(2), line(3), model="a")
    recorded(tree, line(1), line(2, success=True), other, model="b")
    recorded(tree, line(1, [CODE], success=False), line(2), model="c")
    convert_files(config(tree, tmp_path / "out", "format=preference", "pairs=5"))
    (pair,) = lines(tmp_path / "out" / "pairs.jsonl")
    assert set(pair) == {"id", "prompt", "chosen", "rejected"}
    assert pair["id"].startswith("reasoning/gsm8k/1/b/")
    assert [one["role"] for one in pair["prompt"]] == ["system", "user"]
    assert FIRST.endswith(pair["prompt"][1]["content"].removeprefix("Task:\n") + "\n")
    assert len(pair["chosen"]) == 3
    assert len(pair["rejected"]) == 1


def test_pairs_choose_no_bad_habit_and_agree_with_their_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    talk = [CODE, WORKED, f"{PROPOSAL}And now I wait."]
    fenced = ["Assistant:\n```\nx\n```\n", WORKED, PROPOSAL]
    recorded(tree, line(1, talk), line(2), line(3, fenced), line(4, talk), model="a")
    bad = [line(number, talk, success=False) for number in (1, 2, 3)]
    recorded(tree, *bad, line(4)[:-1].replace('"content"', '"text"') + "}", model="b")
    out = tmp_path / "out"
    assert main(["convert", str(tree), f"out={out}", "format=preference", "tags=markdown"]) == 1
    (pair,) = lines(out / "pairs.jsonl")
    assert pair["id"].startswith("reasoning/gsm8k/2/")
    assert pair["chosen"][0]["content"] == "```python\n1 + 1\n```"
    shown = capsys.readouterr().err
    assert "is left out: the model wrote ```" in shown
    assert "holds what is no message" in shown


def test_pairs_prefer_the_same_model_and_are_bounded(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    recorded(tree, line(1, [CODE, WORKED, CODE], success=False), model="a")
    for model in ("b", "c"):
        recorded(tree, line(1), model=model)
    bad = line(1, [PROPOSAL], success=False)
    recorded(tree, bad, model="c", path="F=gpt-4/PHF=no_GT-textual/max5_p2+tool+cd")
    for most, count in ((1, 1), (2, 2), (9, 2)):
        out = tmp_path / str(most)
        convert_files(config(tree, out, "format=preference", f"pairs={most}"))
        assert len(lines(out / "pairs.jsonl")) == count
    first, second = lines(tmp_path / "2" / "pairs.jsonl")
    by_model = {one["id"].split("/")[3]: one["rejected"] for one in (first, second)}
    assert len(by_model["b"]) == 3
    assert len(by_model["c"]) == 1
    assert first["id"] != second["id"]


def continuation(number: int, prefix: str, *, success: bool) -> bytes:
    """The record of an episode whose first turn, with the observation `prefix`, was restored."""
    record = run_record("1", success=success)
    record.id, record.sample = f"{record.id}{number}", number
    record.messages[2]["content"] = f"Observation:\n{prefix}\n"
    record.origin = EpisodeOrigin(
        episode="", place="x:1", model="m", turn_setting="", sample=0, success=False, turns=1
    )
    return encode(record) + b"\n"


def test_continuations_are_paired_where_they_part(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    found = [("2", True), ("other", False), ("2", False)]
    lines_of = [continuation(n, prefix, success=won) for n, (prefix, won) in enumerate(found)]
    (run / "episodes.jsonl").write_bytes(b"".join(lines_of))
    convert_files(config(run, tmp_path / "out", "format=preference", "pairs=5"))
    (pair,) = lines(tmp_path / "out" / "pairs.jsonl")
    assert [one["role"] for one in pair["prompt"]] == ["system", "user", "assistant", "user"]
    assert pair["prompt"][3]["content"] == "Observation:\n2"
    assert [len(pair[side]) for side in ("chosen", "rejected")] == [1, 1]
