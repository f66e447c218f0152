"""What a run's exact tokens come to, in lines for the terminal."""

from collections.abc import Iterator, Mapping

from codeact.experiment.summary import Summary
from codeact.experiment.token_totals import RunBreak, TokenTotals
from codeact.results.terminal import wide_console


def show_tokens(summaries: Mapping[str, Summary]) -> None:
    """Print what the exact tokens of runs come to; nothing of runs that record none."""
    many = len(summaries) > 1
    for name, summary in summaries.items():
        for line in token_lines(summary.tokens):
            text = f"{name}: {line}" if many else line
            wide_console().print(text, markup=False, highlight=False, soft_wrap=True)


def token_lines(tokens: TokenTotals) -> Iterator[str]:
    """Yield the lines of one run."""
    if not tokens.requests:
        return
    line = f"exact tokens: {tokens.prompt:,} read and {tokens.sampled:,} sampled"
    reported = (tokens.reported_prompt, tokens.reported_sampled)
    if reported != (tokens.prompt, tokens.sampled):
        line += f"; the servers report {reported[0]:,} and {reported[1]:,}"
    yield line
    if tokens.share is not None:
        yield (
            f"prompts that extend what the server had seen: {tokens.extending:,} of "
            f"{tokens.followers:,} ({tokens.share:.1%}); "
            f"{tokens.broken_episodes:,} of {tokens.episodes:,} episodes break"
        )
    if tokens.first_break is not None:
        yield from _break_lines(tokens.first_break)
    if tokens.unlike:
        share = f"{tokens.unlike:,} of {tokens.checked:,}"
        yield f"answers whose ids do not decode to their text: {share}"
    elif not tokens.checked:
        yield "texts were not compared with their ids: model.tokenizer names no folder"


def _break_lines(found: RunBreak) -> Iterator[str]:
    where = found.where
    place = {
        "sampled": f"in what was sampled in turn {where.turn - 1}",
        "prompt": "in front of what was sampled last",
    }[where.place]
    yield (
        f"first break: {found.episode}, the prompt of turn {where.turn}, {place}, at id {where.at}:"
    )
    yield f"  the server had seen: {where.seen!r}"
    yield f"  the prompt has:      {where.sent!r}"
