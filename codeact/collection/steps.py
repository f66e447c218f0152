"""Steps: decisions over many trajectories, or over their whole text, in a fixed order."""

import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache, partial
from hashlib import blake2b
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from codeact.collection.contamination import NGramIndex, task_of
from codeact.collection.conversion import Conversation
from codeact.collection.selection import Candidate, SelectionStep
from codeact.collection.settings import (
    BalanceSettings,
    BoundsSettings,
    ContaminationSettings,
    DuplicateSettings,
    PerTaskSettings,
    StepSettings,
)
from codeact.collection.tokens import CountTokens, chatml, token_counter
from codeact.episode.messages import Message, as_text
from codeact.episode.protocol import between_tags
from codeact.exceptions import ConfigError

if TYPE_CHECKING:
    from datasketch import MinHash  # type: ignore[import-untyped]

Tokens = Callable[[Sequence[Candidate]], list[int]]
"""How many tokens each candidate's conversation has; many are counted at once, on all cores."""

_CONVERSATION = msgspec.json.Decoder(Conversation)
_WORD = re.compile(r"\w+|[^\w\s]")
_SHINGLE = 5
_CODE_PERMUTATIONS = 64
_SEED = 1
_BATCH = 256


def steps(settings: StepSettings) -> list[SelectionStep]:
    """Return the steps that are on; raises `ConfigError` or `TaskFileError` before any begins."""
    found: list[SelectionStep] = []
    if settings.bounds or settings.per_task:
        counted = partial(_counted, token_counter(settings.tokenizer))
        tokens = partial(_remembered, counted, {})
    if settings.bounds:
        found.append(SelectionStep("bounds", partial(within_bounds, settings.bounds, tokens)))
    if settings.contamination and settings.contamination.files:
        grams = NGramIndex.read(settings.contamination)
        found.append(
            SelectionStep("contaminated", partial(uncontaminated, settings.contamination, grams))
        )
    if settings.per_task:
        found.append(
            SelectionStep("per_task", partial(best_of_each_task, settings.per_task, tokens))
        )
    if settings.duplicates:
        found.append(SelectionStep("exact_duplicates", without_exact_duplicates))
        found.append(
            SelectionStep("near_duplicates", partial(without_near_duplicates, settings.duplicates))
        )
    if settings.balance:
        found.append(SelectionStep("balance", partial(balanced, settings.balance)))
    return found


def get_ready(settings: StepSettings) -> None:
    """Import what the steps need, during the scan: it takes longer than the steps do."""
    if settings.duplicates or (settings.per_task and settings.per_task.keep == "diverse"):
        import datasketch  # noqa: F401


def within_bounds(
    settings: BoundsSettings, tokens: Tokens, found: Iterator[Candidate]
) -> Iterator[Candidate]:
    """Drop what is too long or too short; turns are checked first, because that is free."""
    most_turns = math.inf if settings.max_turns is None else settings.max_turns
    low = settings.min_tokens or 0
    high = math.inf if settings.max_tokens is None else settings.max_tokens
    short = (one for one in found if one.turns <= most_turns)
    if not low and high == math.inf:
        yield from short
    while batch := list(islice(short, _BATCH)):
        for one, count in zip(batch, tokens(batch), strict=True):
            if low <= count <= high:
                yield one


def uncontaminated(
    settings: ContaminationSettings, grams: NGramIndex, found: Iterator[Candidate]
) -> Iterator[Candidate]:
    """Drop tasks with at least a `share` of their n-grams in the evaluation sets."""
    for one in found:
        if grams.overlap(task_of(_messages(one))) < settings.share:
            yield one


def best_of_each_task(
    settings: PerTaskSettings, tokens: Tokens, found: Iterator[Candidate]
) -> Iterator[Candidate]:
    """Keep `k` trajectories of each task, over all tiers.

    The best one is solved in the fewest turns, then with the fewest tokens, then comes first.
    ``best`` takes the next best after it; ``diverse`` takes the one whose code is least similar to
    the code of those taken so far.
    """
    everyone = list(found)
    of_task: dict[Hashable, list[Candidate]] = defaultdict(list)
    for one in everyone:
        of_task[one.task].append(one)
    kept: set[int] = set()
    for group in of_task.values():
        if len(group) <= settings.k:
            kept.update(one.row for one in group)
            continue
        lengths = zip((one.turns for one in group), tokens(group), strict=True)
        ranked = [one for _, one in sorted(zip(lengths, group, strict=True), key=itemgetter(0))]
        chosen = ranked[: settings.k] if settings.keep == "best" else _diverse(ranked, settings.k)
        kept.update(one.row for one in chosen)
    yield from (one for one in everyone if one.row in kept)


def _diverse(ranked: Sequence[Candidate], k: int) -> list[Candidate]:
    """Return the first, then repeatedly the one least similar to all that are taken."""
    codes = [_signature(_code(one), _CODE_PERMUTATIONS, _SEED) for one in ranked]
    taken = [0]
    likest = [code.jaccard(codes[0]) for code in codes]
    while len(taken) < k:
        left = (place for place in range(len(ranked)) if place not in taken)
        taken.append(min(left, key=lambda place: likest[place]))
        likest = [
            max(so_far, code.jaccard(codes[taken[-1]]))
            for so_far, code in zip(likest, codes, strict=True)
        ]
    return [ranked[place] for place in taken]


def without_exact_duplicates(found: Iterator[Candidate]) -> Iterator[Candidate]:
    """Drop exact duplicates of an earlier one, white space apart."""
    seen: set[bytes] = set()
    for one in found:
        digest = blake2b(" ".join(_answers(one).split()).encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield one


def without_near_duplicates(
    settings: DuplicateSettings, found: Iterator[Candidate]
) -> Iterator[Candidate]:
    """Drop near-duplicates of an earlier one that is kept.

    Similarity is the Jaccard similarity of the five-word runs in what the model said, estimated by
    MinHash; a locality-sensitive index finds candidates for the comparison.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=settings.threshold, num_perm=settings.permutations)
    signatures: dict[int, MinHash] = {}
    for one in found:
        signature = _signature(_answers(one), settings.permutations, settings.seed)
        alike = (signatures[row] for row in index.query(signature))
        if any(other.jaccard(signature) >= settings.threshold for other in alike):
            continue
        index.insert(one.row, signature)
        signatures[one.row] = signature
        yield one


def balanced(settings: BalanceSettings, found: Iterator[Candidate]) -> Iterator[Candidate]:
    """Cap data sets, then models; the seed decides which of them stay."""
    everyone = list(found)
    draw = random.Random(settings.seed)  # noqa: S311 (a choice, no secret)
    order = list(range(len(everyone)))
    draw.shuffle(order)
    for key, name, most, share in (
        (_data_set, "data_set", settings.per_data_set, settings.data_set_share),
        (_model, "model", settings.per_model, settings.model_share),
    ):
        groups: dict[str, list[int]] = defaultdict(list)
        for place in order:
            groups[key(everyone[place])].append(place)
        cap = _cap([len(group) for group in groups.values()], most, share, name)
        order = list(chain.from_iterable(group[:cap] for group in groups.values()))
    yield from (everyone[place] for place in sorted(order))


def _data_set(one: Candidate) -> str:
    return one.task.task_name


def _model(one: Candidate) -> str:
    return one.experiment.model


def _cap(sizes: Sequence[int], most: int | None, share: float | None, name: str) -> int:
    """The most that a group may keep, so that none has more than `share` of all that are kept."""
    high = min(max(sizes, default=0), most if most is not None else max(sizes, default=0))
    if share is None or not sizes:
        return high
    low = 0  # the part of the largest group grows with the cap
    while low < high:
        middle = (low + high + 1) // 2
        if middle <= share * sum(min(size, middle) for size in sizes):
            low = middle
        else:
            high = middle - 1
    if low == 0:
        raise ConfigError(
            f"selection.steps.balance.{name}_share={share:g} cannot be met: there are only "
            f"{len(sizes)} to share among; give {1 / len(sizes):.2f} or more, or null"
        )
    return low


def _messages(one: Candidate) -> list[Message]:
    return _CONVERSATION.decode(one.read()).conversations


def _answers(one: Candidate) -> str:
    return "\n".join(as_text(each) for each in _messages(one) if each["role"] == "assistant")


def _code(one: Candidate) -> str:
    """The code between tags, and the arguments of calls."""
    said = [each for each in _messages(one) if each["role"] == "assistant"]
    called = [call["arguments"] for each in said for call in each.get("tool_calls", ())]
    code = between_tags("\n".join(each["content"] for each in said), "execute")
    return "\n".join([code, *called] if called else [code])


def _signature(text: str, permutations: int, seed: int) -> "MinHash":
    words = " ".join(_split(text)).encode().split()  # no word has white space in it
    runs = zip(*(words[start:] for start in range(min(_SHINGLE, len(words) or 1))), strict=False)
    signature = _empty_signature(permutations, seed).copy()
    signature.update_batch(set(map(b" ".join, runs)) or {b""})
    return signature


@cache
def _empty_signature(permutations: int, seed: int) -> "MinHash":
    """Made once: drawing its permutations takes longer than a text's signature."""
    from datasketch import MinHash

    return MinHash(num_perm=permutations, seed=seed, hashfunc=crc32)


def _split(text: str) -> list[str]:
    """Words and signs; white space, indentation too, tells nothing."""
    return _WORD.findall(text)


def _counted(count: CountTokens, many: Sequence[Candidate]) -> list[int]:
    counts = count([chatml(_messages(one)) for one in many])
    return [tokens + 1 for tokens in counts]  # the beginning of the text


def _remembered(count: Tokens, known: dict[int, int], many: Sequence[Candidate]) -> list[int]:
    unknown = [one for one in many if one.row not in known]
    if unknown:
        known.update(zip((one.row for one in unknown), count(unknown), strict=True))
    return [known[one.row] for one in many]
