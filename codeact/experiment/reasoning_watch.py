"""Says once for each run that reasoning which was to be kept does not reach the model."""

from collections.abc import Callable

from codeact.episode.reasoning import reasoning_sent
from codeact.episode.record import EpisodeRecord
from codeact.experiment.events import Job, NullListener


class ReasoningWatch(NullListener):
    """Compares what a run's settings say of reasoning with what its servers count."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._told: set[str] = set()

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        reasoning = getattr(job.config.model, "reasoning", None)
        history = getattr(reasoning, "history", "drop")
        if history == "drop" or job.name in self._told:
            return
        lost = next((one for one in reasoning_sent(record) if not one.reached), None)
        if lost is None:
            return
        self._told.add(job.name)
        self._notice(
            f"{job.name}: model.reasoning.history={history}, but the reasoning of turn {lost.turn} "
            f"of {record.id} did not reach the model: it is about {lost.reasoning} tokens, and the "
            f"next prompt grew by {lost.growth}, where {lost.expected} are all that was said. The "
            "server ignores it (see model.reasoning.spelling), or its chat template leaves it out. "
            "summary.json counts such turns as reasoning_lost"
        )
