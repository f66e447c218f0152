"""Where the raw files of each data set are published, with sizes and digests where they are known.

A name is the file's path in the raw folder. A mirror (``url=``) has the same paths.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from codeact.exceptions import ConfigError


class Address(NamedTuple):
    """A published file: its SHA-256 digest (empty where unknown) and its size in bytes.

    An `archive` is unpacked into its own folder. `gone` says why the address may fail and what to
    do then; a data set can be made without such a file.
    """

    url: str
    sha256: str = ""
    size: int | None = None
    archive: bool = False
    gone: str = ""


Addresses = Mapping[str, Address]

MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)

_GITHUB = "https://raw.githubusercontent.com"
_CRAFT = f"{_GITHUB}/lifan-yuan/CRAFT/main/tab_and_math/MATH/dataset/train"
_ALFWORLD = "https://github.com/alfworld/alfworld/releases/download"

ADDRESSES: Mapping[str, Addresses] = {
    "alfworld": {
        "json_2.1.1_json.zip": Address(
            f"{_ALFWORLD}/0.2.2/json_2.1.1_json.zip", size=72_018_818, archive=True
        ),
        "json_2.1.1_pddl.zip": Address(
            f"{_ALFWORLD}/0.2.2/json_2.1.1_pddl.zip", size=34_881_784, archive=True
        ),
        "json_2.1.2_tw-pddl.zip": Address(
            f"{_ALFWORLD}/0.4.0/json_2.1.2_tw-pddl.zip", size=36_493_542, archive=True
        ),
        **{
            f"logic/{name}": Address(f"{_GITHUB}/alfworld/alfworld/0.4.0/alfworld/data/{name}")
            for name in ("alfred.pddl", "alfred.twl2")
        },
    },
    "apps": {
        "train.jsonl": Address(
            "https://huggingface.co/datasets/codeparrot/apps/resolve/main/train.jsonl",
            size=107_101_272,
        )
    },
    "gsm8k": {
        "test.jsonl": Address(
            f"{_GITHUB}/openai/grade-school-math/3101c7d50724/grade_school_math/data/test.jsonl",
            "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
        )
    },
    "hotpotqa": {
        "train.json": Address(
            "http://curtis.ml.cmu.edu/datasets/hotpot/hotpot_train_v1.1.json",
            "26650cf50234ef5fb2e664ed70bbecdfd87815e6bffc257e068efea5cf7cd316",
            566_426_227,
        )
    },
    "humaneval": {
        "HumanEval.jsonl.gz": Address(
            f"{_GITHUB}/openai/human-eval/6d43fb980f9f/data/HumanEval.jsonl.gz",
            "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
        )
    },
    "math": {
        **{
            f"preprocessed-CRAFT/train/{subject}.jsonl": Address(f"{_CRAFT}/{subject}.jsonl")
            for subject in MATH_SUBJECTS
        },
        "MATH.tar": Address(
            "https://people.eecs.berkeley.edu/~hendrycks/MATH.tar",
            "0fbe4fad0df66942db6c221cdcc95b298cc7f4595a2f0f518360cce84e90d9ac",
            archive=True,
            gone="MATH itself was taken down in 2025. Its tasks are made of CRAFT's files, which "
            "have the answers; for the worked solutions, too, give url=ADDRESS of a mirror of "
            "MATH.tar, or make the tasks of a hub's copy by raw=hub:NAME",
        ),
    },
    "mbpp": {
        "mbpp.jsonl": Address(f"{_GITHUB}/google-research/google-research/master/mbpp/mbpp.jsonl")
    },
    "mmlu": {
        "data.tar": Address(
            "https://huggingface.co/datasets/cais/mmlu/resolve/main/data.tar",
            size=166_184_960,
            archive=True,
        )
    },
    "strategyqa": {
        "strategyqa_dataset.zip": Address(
            "https://storage.googleapis.com/ai2i/strategyqa/data/strategyqa_dataset.zip",
            "4911d85eb6721a93bed7645419df77e721808b32b9785dee14ad80e6249e0a90",
            3_434_332,
            archive=True,
        )
    },
    "theoremqa": {
        "theoremqa_test.json": Address(f"{_GITHUB}/TIGER-AI-Lab/TheoremQA/main/theoremqa_test.json")
    },
    "wiki_table_questions": {
        "WikiTableQuestions-1.0.2-compact.zip": Address(
            "https://github.com/ppasupat/WikiTableQuestions/releases/download/v1.0.2/"
            "WikiTableQuestions-1.0.2-compact.zip",
            "7c9ca7cc1ccd75fe4be0255b44be63f7b566761005f4ee6ce67e51c129d8b085",
            29_267_445,
            archive=True,
        )
    },
}


def mirrored(addresses: Addresses, url: str) -> Addresses:
    """Take files from a mirror; raises `ConfigError` for what is no address.

    `url` is a folder with all of them, at their paths in the raw folder, or one of the files: its
    name says which, and the others keep their addresses.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"url={url} is no address; give one such as https://HOST/FOLDER")
    last = unquote(parts.path).rpartition("/")[2]
    named = [
        name
        for name, address in addresses.items()
        if last in (name.rpartition("/")[2], address.url.rpartition("/")[2])
    ]
    if not named and len(addresses) == 1 and "." in last:
        named = list(addresses)
    if named:
        return {**addresses, **{n: addresses[n]._replace(url=url, gone="") for n in named}}
    root = url.rstrip("/")
    return {n: address._replace(url=f"{root}/{n}") for n, address in addresses.items()}
