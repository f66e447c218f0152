"""The episode as a state machine: it takes results and says what it needs next.

No I/O, no clock, no randomness: the driver performs each effect and measures it. So the same
machine runs live, replays a transcript and is tested without a model or a sandbox.

    policy message ── code ──────> Execute ──┐
         ▲      └──── answer ────> Grade ────┤
         │      └──── neither ───────────────┤
      Complete <── Critique (if asked for) <─┴─> finished

A right answer ends an episode, and so does a cell after which the world that the tools act on
(a household, say) reports the task as solved.
"""

from typing import Literal

import msgspec

from codeact.episode import protocol
from codeact.episode.effects import (
    Complete,
    Completion,
    Counts,
    Critique,
    Effect,
    Execute,
    Execution,
    Failure,
    Grade,
    Message,
    Outcome,
    RestoredTurn,
    Result,
    Turn,
    Usage,
    Verdict,
    total_cost,
    valid_seconds,
)
from codeact.episode.feedback import (
    asked_again,
    feedback_messages,
    read_comment,
    times_asked_again,
)
from codeact.episode.leaks import Known
from codeact.episode.prompts import PromptStrategy
from codeact.episode.settings import EpisodeSettings
from codeact.episode.task import Task, ToolSpec

_SHOWN = 200
"""Characters of a comment in a message."""


class Episode:
    """One task played by one policy.

    `pending` is the effect that the episode waits for, None once it is finished; `advance` takes
    the result. Then `outcome`, `messages`, `turns` and `counts` tell what happened. Of a recorded
    episode that is continued, `first_message` is what its policy read first.
    """

    def __init__(
        self,
        task: Task,
        task_type: str,
        settings: EpisodeSettings,
        strategy: PromptStrategy,
        *,
        tools: tuple[ToolSpec, ...] = (),
        plain: bool = False,
        answer: str | None = None,
        first_message: str | None = None,
    ) -> None:
        """`answer` is a right one, which feedback should not give away, as the reference."""
        self.task = task
        self.settings = settings
        self.strategy = strategy
        self.tools = tools
        self.counts = Counts()
        self.turns: list[Turn] = []
        first = first_message
        if first is None:
            first = strategy.first_message(task, task_type, settings.turns, tools)
        self.messages: list[Message] = [{"role": "user", "content": first}]
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self._answer = answer
        self._code = task_type == "code_generation"
        self._stop = strategy.stop(plain=plain)
        self._restored: RestoredTurn | None = None
        self._unused = Completion("")
        self.pending: Effect | None = self._ask_policy()

    @property
    def usage(self) -> Usage:
        """Policy tokens so far."""
        return sum((turn.usage for turn in self.turns), self._unused.usage)

    @property
    def feedback_usage(self) -> Usage:
        """Feedback tokens so far."""
        return sum((turn.feedback_usage for turn in self.turns), Usage())

    @property
    def cost(self) -> float | None:
        """What the policy has cost so far, in USD; None without configured prices."""
        return total_cost([*(turn.cost for turn in self.turns), self._unused.cost])

    @property
    def feedback_cost(self) -> float | None:
        """What feedback has cost so far, in USD; None without configured prices."""
        return total_cost(turn.feedback_cost for turn in self.turns)

    def advance(self, result: Result) -> None:
        """Take the result of `pending`, and move on to the next effect or finish.

        Seconds that are no valid duration count as 0, so they cannot stop or turn back the clock.
        """
        effect = self.pending
        if (seconds := valid_seconds(result.seconds)) != result.seconds:
            result = msgspec.structs.replace(result, seconds=seconds)
        self.seconds += seconds
        if isinstance(result, Failure):
            self._fail(result)
        elif isinstance(effect, Complete) and isinstance(result, Completion):
            self._on_message(result)
        elif isinstance(effect, Execute) and isinstance(result, Execution):
            self._on_execution(result)
        elif isinstance(effect, Grade) and isinstance(result, Verdict):
            self._on_verdict(result)
        elif isinstance(effect, Critique) and isinstance(result, Completion):
            self._on_feedback(effect, result)
        else:
            raise TypeError(f"{type(result).__name__} does not answer {type(effect).__name__}")

    def _ask_policy(self) -> Complete:
        return Complete(tuple(self.messages), len(self.turns), self._stop)

    def _on_message(self, completion: Completion) -> None:
        text = completion.text
        self._restored = completion.restored
        self.messages.append({"role": "assistant", "content": self.strategy.assistant(text)})
        action = self.strategy.parse(text)
        parsed = bool(action.content)
        recorded: Literal["execute", "propose", "invalid"] = action.kind
        if action.kind == "execute" and not (parsed and self.settings.turns.use_tools):
            recorded = "invalid"
        turn = Turn(
            action=recorded,
            content=action.content,
            usage=completion.usage,
            seconds={"model": completion.seconds},
            retries=completion.retries,
            cost=completion.cost,
            reused=completion.reused,
            restored=completion.restored is not None,
            author=completion.author,
            original=completion.original,
        )
        self.turns.append(turn)
        number = len(self.turns) - 1
        if recorded == "propose":
            self.counts.propose_solution += 1
            if parsed:
                self.pending = Grade(action.content, number)
                return
        elif recorded == "execute":
            self.pending = Execute(action.content, number)
            return
        else:
            self.counts.invalid_action += 1
        turn.observation = protocol.PARSE_FAILURE
        self._end_turn(success=False)

    def _on_execution(self, execution: Execution) -> None:
        turn = self.turns[-1]
        if self._restored is not None and self._restored.observation is not None:
            turn.observation = self._restored.observation
        else:
            turn.observation = protocol.render_execution(
                execution.output, state_lost=execution.state_lost
            )
        turn.status = execution.status
        turn.seconds["sandbox"] = execution.seconds
        self.counts.use_tool += 1
        self._end_turn(success=execution.solved)

    def _on_verdict(self, verdict: Verdict) -> None:
        turn = self.turns[-1]
        turn.correct = verdict.correct
        turn.detail = verdict.detail
        turn.seconds["grader"] = verdict.seconds
        turn.observation = "" if verdict.correct else protocol.WRONG_ANSWER
        self._end_turn(success=verdict.correct)

    def _on_feedback(self, critique: Critique, completion: Completion) -> None:
        turn, asked = self.turns[-1], times_asked_again(critique.messages)
        turn.feedback_usage += completion.usage
        turn.seconds["feedback"] = turn.seconds.get("feedback", 0.0) + completion.seconds
        turn.feedback_cost = total_cost([turn.feedback_cost, completion.cost])
        turn.feedback_reused = completion.reused and (turn.feedback_reused or not asked)
        turn.retries += completion.retries
        turn.asked_again = asked
        if completion.author == "person" and not completion.text.strip():
            # A model's empty feedback stands in recorded runs; a person who is silent gave none.
            self._close_turn(None)
            return
        known = Known.of(self.task, self._answer, self.messages, self.turns, code=self._code)
        comment = read_comment(completion.text, asked, self.settings.feedback, known)
        if comment.again is not None:
            self._ask_feedback(asked_again(critique.messages, completion.text, comment.again))
        elif comment.text is None:
            said = completion.text.strip()[:_SHOWN]
            self._fail(Failure("user", f"feedback that says neither good nor bad: {said!r}"))
        else:
            turn.leaks = comment.leaks
            self._give_feedback(comment.text)

    def _ask_feedback(self, messages: tuple[Message, ...]) -> None:
        self.pending = Critique(messages, len(self.turns) - 1, protocol.FEEDBACK_STOP)

    def _give_feedback(self, feedback: str) -> None:
        self.turns[-1].feedback = feedback
        self._close_turn(feedback)

    def _end_turn(self, *, success: bool) -> None:
        """Finish, or ask for feedback, or go to the next turn (docs/protocol.md, "The end")."""
        self.outcome = self._ending(success)
        feedback = self.settings.feedback
        if self._restored is not None:
            said = None if self.outcome else self._restored.feedback
            self.turns[-1].feedback = said
            self._close_turn(said)
        elif self.outcome is not None or feedback.kind == "none":
            self._close_turn(None)
        elif feedback.kind == "textual_sparse" and self.turns[-1].action != "propose":
            self._give_feedback(protocol.NOT_GIVEN)
        else:
            transcript = self._transcript()
            self._ask_feedback(
                feedback_messages(self.task, transcript, feedback, self._visible_tools)
            )

    def _close_turn(self, feedback: str | None) -> None:
        """Record the environment's message; the last one too, except after a success."""
        if self.outcome is None:
            # Feedback takes time and tokens too, so check the limits again.
            self.outcome = self._over_limits()
        if self.outcome is None or not self.outcome.success:
            content = self.strategy.environment(
                self.turns[-1].observation, self.counts, self.settings.turns, feedback
            )
            self.messages.append({"role": "user", "content": content})
        self.pending = None if self.outcome else self._ask_policy()

    def _ending(self, success: bool) -> Outcome | None:
        turns = self.settings.turns
        if success:
            return Outcome(success=True, terminate_reason="task_success")
        if self.counts.propose_solution >= turns.max_propose_solution:
            return Outcome(success=False, terminate_reason="max_propose_steps")
        if self.counts.steps >= turns.max_steps:
            return Outcome(success=False, terminate_reason="max_steps")
        return self._over_limits()

    def _over_limits(self) -> Outcome | None:
        limits = self.settings.limits
        if limits.max_tokens is not None and self.usage.total >= limits.max_tokens:
            return Outcome(success=False, terminate_reason="max_tokens")
        if limits.max_seconds is not None and self.seconds >= limits.max_seconds:
            return Outcome(success=False, terminate_reason="max_seconds")
        return None

    def _fail(self, failure: Failure) -> None:
        self._unused = Completion("", usage=failure.usage, cost=failure.cost)
        if failure.out_of_time:
            self.outcome = Outcome(success=False, terminate_reason="max_seconds")
        else:
            self.outcome = Outcome(
                success=False,
                terminate_reason="error",
                cause=failure.cause,
                error=failure.message,
                final=failure.final,
            )
        self.pending = None

    def _transcript(self) -> str:
        """Return the conversation from the task on, with the observation of the current turn."""
        task = "Task:\n" + self.task.prompt
        played = [message["content"] for message in self.messages[1:]]
        current = self.strategy.environment(
            self.turns[-1].observation, self.counts, self.settings.turns, None
        )
        return "\n\n".join(part.strip("\n") for part in [task, *played, current])

    @property
    def _visible_tools(self) -> tuple[ToolSpec, ...]:
        return self.tools if self.settings.turns.use_tools else ()
