"""The episode as a state machine: it takes results and says what it needs next.

No I/O, no clock, no randomness: the driver performs each effect and measures it. So the same
machine runs live, replays a transcript and is tested without a model or a sandbox.

    policy message ── code ──────> Execute ──┐
         ▲      └──── answer ────> Grade ────┤
         │      └──── neither ───────────────┤
      Complete <── Critique (if asked for) <─┴─> finished

Most messages are one action. One with several has them performed in order, all in one turn, up to
an answer that is wrong.

A right answer ends an episode, and so does a cell after which the world that the tools act on
(a household, say) reports the task as solved.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from codeact.episode import protocol
from codeact.episode.effects import (
    ActionKind,
    ActionRecord,
    Complete,
    Completion,
    Counts,
    Critique,
    Effect,
    Execute,
    Execution,
    Failure,
    Grade,
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
from codeact.episode.messages import Message, RequestOptions, as_text
from codeact.episode.prompts import Action, Observation, PromptStrategy
from codeact.episode.settings import EpisodeSettings
from codeact.episode.task import Task, ToolSpec

_SHOWN = 200
"""Characters of a comment in a message."""


class Episode:
    """One task played by one policy.

    `pending` is the effect that the episode waits for, None once it is finished; `advance` takes
    the result. Then `outcome`, `messages`, `turns` and `counts` tell what happened. Of a recorded
    episode that is continued, `opening` is what its policy read first.
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
        opening: Sequence[Message] | None = None,
    ) -> None:
        """`answer` is a right one, which feedback should not give away, as the reference."""
        self.task = task
        self.settings = settings
        self.strategy = strategy
        self.tools = tools
        self.counts = Counts()
        self.turns: list[Turn] = []
        if opening is None:
            opening = strategy.opening(task, task_type, settings.turns, tools)
        self.opening = tuple(opening)
        self.messages: list[Message] = list(opening)
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self._answer = answer
        self._code = task_type == "code_generation"
        self._options = strategy.options(settings.turns, tools, plain=plain)
        self._restored: RestoredTurn | None = None
        self._queue: deque[Action] = deque()
        self._done: list[ActionRecord] = []
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
        return Complete(tuple(self.messages), len(self.turns), self._options)

    def _on_message(self, completion: Completion) -> None:
        self._restored = completion.restored
        message, text = self.strategy.assistant(completion), completion.text
        self.messages.append(message)
        actions = self.strategy.actions(completion, self.settings.turns, self.tools)
        turn = Turn(
            action=_kind(actions),
            content="\n".join(action.content for action in actions),
            message=len(self.messages) - 1,
            text=text if protocol.policy_text(message["content"]) != text else None,
            usage=completion.usage,
            counted=completion.counted,
            seconds={"model": completion.seconds},
            retries=completion.retries,
            cost=completion.cost,
            reused=completion.reused,
            restored=completion.restored is not None,
            author=completion.author,
            original=completion.original,
            cut=completion.cut,
        )
        self.turns.append(turn)
        self.counts.propose_solution += turn.action == "propose"
        self.counts.invalid_action += turn.action == "invalid"
        self._queue, self._done = deque(actions), []
        self._act()

    def _act(self) -> None:
        """Ask for the next action to be performed, or end the turn."""
        number = len(self.turns) - 1
        while self._queue:
            action = self._queue[0]
            if action.refusal is not None:
                self._performed(action.refusal)
            elif action.kind == "propose":
                self.pending = Grade(action.content, number)
                return
            else:
                self.pending = Execute(action.content, number)
                return
        self._end_turn(success=False)

    def _performed(self, observation: str) -> ActionRecord:
        """Take the result of the next action."""
        action = self._queue.popleft()
        done = ActionRecord(
            action=action.kind,
            content=action.content,
            observation=observation,
            tool_call_id=action.tool_call_id,
        )
        self._done.append(done)
        return done

    def _keep_actions(self) -> None:
        """Record what the turn's actions gave, as far as they were performed."""
        turn = self.turns[-1]
        turn.observation = "\n".join(done.observation for done in self._done)
        if len(self._done) + len(self._queue) > 1:
            turn.actions = tuple(self._done)

    def _on_execution(self, execution: Execution) -> None:
        turn = self.turns[-1]
        shown = protocol.render_execution(execution.output, state_lost=execution.state_lost)
        if self._restored is not None:
            recorded = self._restored.observations[len(self._done) :]
            shown = recorded[0] if recorded else shown
        self._performed(shown).status = execution.status
        turn.seconds["sandbox"] = turn.seconds.get("sandbox", 0.0) + execution.seconds
        self.counts.use_tool += turn.action == "execute" and turn.status is None
        if turn.status in (None, "ok"):
            turn.status = execution.status
        if execution.solved:
            self._end_turn(success=True)
        else:
            self._act()

    def _on_verdict(self, verdict: Verdict) -> None:
        turn = self.turns[-1]
        done = self._performed("" if verdict.correct else protocol.WRONG_ANSWER)
        done.correct = turn.correct = verdict.correct
        done.detail = turn.detail = verdict.detail
        turn.seconds["grader"] = verdict.seconds
        while self._queue and not verdict.correct:
            # A turn is one proposal, so that it cannot try several answers.
            self._performed(protocol.NOT_PERFORMED)
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
        options = RequestOptions(protocol.FEEDBACK_STOP)
        self.pending = Critique(messages, len(self.turns) - 1, options)

    def _give_feedback(self, feedback: str) -> None:
        self.turns[-1].feedback = feedback
        self._close_turn(feedback)

    def _end_turn(self, *, success: bool) -> None:
        """Finish, or ask for feedback, or go to the next turn (docs/protocol.md, "The end")."""
        self._keep_actions()
        turn = self.turns[-1]
        self.outcome = self._ending(success)
        feedback = self.settings.feedback
        if self._restored is not None:
            turn.feedback = said = None if self.outcome else self._restored.feedback
            self._close_turn(said)
        elif self.outcome is not None or feedback.kind == "none":
            self._close_turn(None)
        elif feedback.kind == "textual_sparse" and turn.action != "propose":
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
            self.messages += self._environment(feedback)
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
        if isinstance(self.pending, Execute | Grade):
            self._keep_actions()
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

    def _environment(self, feedback: str | None) -> list[Message]:
        observations = [Observation(one.observation, one.tool_call_id) for one in self._done]
        turns = self.settings.turns
        return self.strategy.environment(observations, self.counts, turns, feedback)

    def _transcript(self) -> str:
        """Return the conversation from the task on, with the observation of the current turn."""
        task = "Task:\n" + self.task.prompt
        played = [*self.messages[len(self.opening) :], *self._environment(None)]
        return "\n\n".join(part.strip("\n") for part in [task, *map(as_text, played)])

    @property
    def _visible_tools(self) -> tuple[ToolSpec, ...]:
        return self.tools if self.settings.turns.use_tools else ()


def _kind(actions: Sequence[Action]) -> ActionKind:
    """Return what a turn of these actions counts as."""
    if not actions:
        raise ValueError("the prompt strategy found no action in a message, not even a refused one")
    kinds = {action.kind for action in actions}
    return "propose" if "propose" in kinds else "execute" if "execute" in kinds else "invalid"
