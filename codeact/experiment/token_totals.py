"""What the exact tokens of a run come to: how many, and whether prompts extend one another."""

import msgspec

from codeact.episode.record import EpisodeRecord
from codeact.episode.tokens import PrefixBreak


class RunBreak(msgspec.Struct, frozen=True, kw_only=True):
    """The first break of a run, in the order of its records."""

    episode: str
    where: PrefixBreak


class TokenTotals(msgspec.Struct, kw_only=True):
    """Totals over the exact tokens of episodes, of the attempts that ended them.

    `prompt` and `sampled` count ids, `reported_prompt` and `reported_sampled` are what the servers
    said of the same requests. Of the `requests`, `followers` are those after an episode's first,
    and the prompts of the `extending` ones extend all that the server had seen. The texts of
    `checked` answers were compared with their ids, and `unlike` of them differ.
    """

    episodes: int = 0
    requests: int = 0
    prompt: int = 0
    sampled: int = 0
    reported_prompt: int = 0
    reported_sampled: int = 0
    followers: int = 0
    extending: int = 0
    broken_episodes: int = 0
    checked: int = 0
    unlike: int = 0
    first_break: RunBreak | None = None

    @property
    def share(self) -> float | None:
        """The share of followers that extend; None without any."""
        return self.extending / self.followers if self.followers else None

    def add(self, record: EpisodeRecord) -> None:
        """Take one more episode in."""
        report = record.token_report
        if report is None:
            return
        self.episodes += 1
        self.requests += report.requests
        self.prompt += report.prompt
        self.sampled += report.sampled
        self.reported_prompt += record.usage.prompt
        self.reported_sampled += record.usage.completion
        self.followers += report.followers
        self.extending += report.extending
        self.broken_episodes += report.extending < report.followers
        self.checked += report.checked
        self.unlike += report.unlike
        if self.first_break is None and report.first_break is not None:
            self.first_break = RunBreak(episode=record.id, where=report.first_break)

    def document(self) -> dict[str, object]:
        """Return the numbers as JSON data, with the share."""
        return {**msgspec.to_builtins(self), "share_extending": self.share}
