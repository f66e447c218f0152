// One episode, turn by turn; of a long one only the turns in sight are in the page.
import { useEffect, useRef, useState } from "preact/hooks";
import { count, GLYPHS, plural, REASONS, resultOf, seconds, usd } from "./format";
import { useKeys } from "./keys";
import { address, change, route } from "./route";
import { source } from "./source";
import { choose, chosen, message, state } from "./store";
import { Text, visible } from "./text";
import type { Message, Observed, Part, ToolCall, Transcript, Turn } from "./types";
import { useVirtual, type Pane } from "./virtual";

interface ReadingGiven {
  run: string; episode: string | null; version: number; pane: Pane & { current: HTMLElement | null }; leave: () => void;
}

export function Reading({ run, episode, version, pane, leave }: ReadingGiven) {
  const [found, setFound] = useState<{ transcript: Transcript; run: string } | null>(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    if (episode === null) return;
    let current = true;
    source.episode(run, episode).then(
      (transcript) => current && (setFound({ transcript, run }), setTrouble("")),
      (error: unknown) => current && setTrouble(message(error)),
    );
    return () => void (current = false);
  }, [run, episode, version]);
  const shown = found?.run === run && found.transcript.key === episode ? found.transcript : null;
  return (
    <section class="reader scroll" ref={pane} tabIndex={0} aria-label="Transcript">
      {episode === null ? (
        <p class="empty">Choose an episode to read it: <kbd>j</kbd> <kbd>k</kbd> go through the list, <kbd>?</kbd> shows all keys.</p>
      ) : trouble ? (
        <p class="empty trouble" role="alert">{trouble}</p>
      ) : shown ? (
        <Episode transcript={shown} run={run} pane={pane} leave={leave} />
      ) : (
        <p class="empty">…</p>
      )}
    </section>
  );
}

interface EpisodeGiven { transcript: Transcript; run: string; pane: Pane; leave: () => void }

function Episode({ transcript, run, pane, leave }: EpisodeGiven) {
  const turns = transcript.turns;
  const total = turns.length + 2; // In front the head and the task, behind the outcome.
  const rows = useVirtual({
    count: total, scroller: pane, size: (index) => (index === 0 ? 360 : 420), overscan: 3, keyOf: (index) => `${transcript.key} ${index}`,
  });
  const wanted = Number(route.value.query.get("turn") ?? 0);
  const place = useRef(wanted);
  useEffect(() => {
    place.current = wanted;
    rows.scrollToIndex(wanted, { align: "start" });
  }, [transcript.key]);
  const jump = (to: number) => {
    place.current = Math.max(0, Math.min(total - 1, to));
    rows.scrollToIndex(place.current, { align: "start" });
    const turn = place.current;
    change({ turn: turn > 0 && turn <= turns.length ? turn : null }, true);
  };
  const here = () => !!pane.current?.contains(document.activeElement);
  const moving = (to: () => number) => () => (here() ? jump(to()) : false);
  useKeys({
    j: moving(() => place.current + 1), k: moving(() => place.current - 1),
    g: moving(() => 0), G: moving(() => total - 1),
    ArrowDown: () => here() && scrolled(pane.current, 60), ArrowUp: () => here() && scrolled(pane.current, -60),
    PageDown: () => here() && scrolled(pane.current, 0.9 * (pane.current?.clientHeight ?? 0)),
    PageUp: () => here() && scrolled(pane.current, -0.9 * (pane.current?.clientHeight ?? 0)),
    Home: moving(() => 0), End: moving(() => total - 1),
  });
  return (
    <div class="tall" style={{ height: `${rows.getTotalSize()}px` }}>
      {rows.getVirtualItems().map((item) => (
        <div
          key={item.key} class="passage" data-index={item.index} ref={(element) => rows.measureElement(element)}
          style={{ transform: `translateY(${item.start}px)` }}
        >
          {item.index === 0 ? (
            <Head transcript={transcript} run={run} leave={leave} />
          ) : item.index <= turns.length ? (
            <TurnBlock turn={turns[item.index - 1]!} of={transcript} run={run} marked={wanted === item.index} />
          ) : (
            <End transcript={transcript} />
          )}
        </div>
      ))}
    </div>
  );
}

function scrolled(element: HTMLElement | null, by: number): boolean {
  element?.scrollBy({ top: by });
  return true;
}

function Head({ transcript: one, run, leave }: { transcript: Transcript; run: string; leave: () => void }) {
  const result = resultOf(one);
  const picked = !!chosen.value.get(run)?.has(one.key);
  const facts: [string, string][] = [
    ["model", one.model], ["turns", `${count(one.turns.length)} (${one.turn_setting})`],
    ["tokens", `${count(one.usage.prompt)} in, ${count(one.usage.completion)} out`],
  ];
  if (one.usage.reasoning) facts.push(["reasoning", `${count(one.usage.reasoning)} of them`]);
  if (one.feedback !== "none") facts.push(["feedback", one.feedback]);
  if (one.cost !== null) facts.push(["cost", usd(one.cost + (one.feedback_cost ?? 0))]);
  if (one.seconds) facts.push(["time", seconds(one.seconds)]);
  if (one.edited) facts.push(["edited", `${plural(one.edited, "turn")} by a person`]);
  if (one.origin) facts.push(["continues", `${one.origin.episode || one.origin.place}, ${plural(one.origin.turns, "turn")}`]);
  return (
    <header class="head">
      <button class="back quiet" onClick={leave} aria-label="Back to the list">←</button>
      <h2><span class={`glyph ${result}`}>{GLYPHS[result]}</span> <Name episode={one} /></h2>
      <p class={`verdict ${result}`}>
        {one.outcome.cause ? `failed: ${one.outcome.cause}` : (REASONS[one.outcome.terminate_reason] ?? one.outcome.terminate_reason)}
      </p>
      <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{visible(value)}</dd></div>)}</dl>
      <p class="tools">
        <a href={address("run", run, { key: one.key })}>link</a>
        {!state.value?.fixed && (
          <button class="quiet" aria-pressed={picked} onClick={() => choose(run, [one.key])}>
            {picked ? "✓ chosen for training" : "choose for training"}
          </button>
        )}
        <code class="id">{visible(one.id)}</code>
      </p>
      {one.outcome.error && <div class="note error"><h3>Error</h3><Text text={one.outcome.error} name={`${one.key} error`} /></div>}
      {one.attempts.length > 0 && (
        <details class="fold"><summary>{plural(one.attempts.length, "earlier attempt")}</summary>
          {one.attempts.map((attempt, n) => <Text key={n} text={`${attempt.cause}: ${attempt.error}`} name={`${one.key} attempt ${n}`} />)}
        </details>
      )}
      <Opening messages={one.opening} name={one.key} />
      {one.problem && (
        <div class="note error"><h3>This record contradicts itself</h3><p>{visible(one.problem)}. Its messages as they are:</p>
          {one.messages.map((each, n) => <MessageBlock key={n} message={each} name={`${one.key} message ${n}`} />)}
        </div>
      )}
    </header>
  );
}

export function Name({ episode }: { episode: Transcript }) {
  return <>{visible(episode.task_name)} <span class="task-id">{visible(episode.task_id)}</span>{episode.sample > 0 && <span class="sample"> sample {episode.sample}</span>}</>;
}

const SEPARATOR = "\n---\n\n";

/** The messages in front: the task itself is open, instructions and examples are folded. */
export function Opening({ messages, name }: { messages: Message[]; name: string }) {
  const last = messages[messages.length - 1];
  if (!last) return null;
  const at = last.content.lastIndexOf(SEPARATOR);
  const before = at >= 0 ? last.content.slice(0, at) : "";
  const task = at >= 0 ? last.content.slice(at + SEPARATOR.length) : last.content;
  const others = messages.slice(0, -1);
  return (
    <>
      {(others.length > 0 || before) && (
        <details class="fold"><summary>Instructions and examples</summary>
          {others.map((one, n) => <MessageBlock key={n} message={one} name={`${name} opening ${n}`} />)}
          {before && <Text text={before} name={`${name} before`} />}
        </details>
      )}
      <div class="task"><h3>Task</h3><Text text={task.replace(/^Task:\n/, "").trim()} name={`${name} task`} /></div>
    </>
  );
}

function MessageBlock({ message: one, name }: { message: Message; name: string }) {
  return (
    <div class="message"><h3>{one.role}</h3>
      {one.reasoning && <Text text={one.reasoning} name={`${name} reasoning`} />}
      <Text text={one.content} name={name} />
      {one.tool_calls?.map((call, n) => <Call key={n} call={call} name={`${name} call ${n}`} />)}
    </div>
  );
}

interface TurnGiven { turn: Turn; of: Transcript; run: string; marked?: boolean; compact?: boolean }

const KINDS: Record<string, string> = { execute: "runs code", propose: "proposes", invalid: "no valid action" };

export function TurnBlock({ turn, of, run, marked = false, compact = false }: TurnGiven) {
  const name = `${of.key} ${turn.number}`;
  const time = Object.entries(turn.seconds).filter(([, value]) => value >= 0.0005);
  return (
    <article class={`turn ${marked ? "marked" : ""}`} aria-label={`Turn ${turn.number}`}>
      <header>
        <h3><a href={address("run", run, { key: of.key, turn: turn.number })}>Turn {turn.number}</a></h3>
        <span class={`kind ${turn.action}`}>{KINDS[turn.action] ?? turn.action}</span>
        {turn.restored && <span class="tag">restored</span>}
        {turn.reused && <span class="tag">from the cache</span>}
        {turn.author === "person" && <span class="tag">by a person</span>}
        {turn.cut && <span class="tag">cut at a stop string</span>}
        {turn.leaks.length > 0 && <span class="tag warn">feedback gives the answer away</span>}
        <span class="spent">
          {turn.usage.prompt + turn.usage.completion > 0 && <span title="tokens in and out">{count(turn.usage.prompt)} → {count(turn.usage.completion)}</span>}
          {turn.cost !== null && <span>{usd(turn.cost)}</span>}
          {time.map(([effect, value]) => <span key={effect}>{effect} {seconds(value)}</span>)}
        </span>
      </header>
      {turn.retries.length > 0 && (
        <details class="fold"><summary>{plural(turn.retries.length, "retry", "retries")}</summary><Text text={turn.retries.join("\n")} name={`${name} retries`} /></details>
      )}
      {turn.reasoning && (
        <details class="fold reasoning"><summary>Reasoning, {plural(turn.reasoning.length, "character")}</summary><Text text={turn.reasoning} name={`${name} reasoning`} /></details>
      )}
      {!turn.logged && <p class="nothing">The model wrote nothing.</p>}
      <Said parts={turn.parts} name={name} />
      {turn.calls.map((call, n) => <Call key={n} call={call} name={`${name} call ${n}`} />)}
      {turn.original !== null && <details class="fold"><summary>What the model wrote, before a person edited it</summary><Text text={turn.original} name={`${name} original`} /></details>}
      {turn.observed.map((one, n) => <Seen key={n} one={one} name={`${name} seen ${n}`} />)}
      {turn.feedback !== null && <div class="feedback"><h4>Feedback</h4><Text text={turn.feedback} name={`${name} feedback`} /></div>}
      {!compact && turn.environment && (
        <details class="fold quiet"><summary>What was sent back, word for word</summary><Text text={turn.environment} name={`${name} sent`} /></details>
      )}
    </article>
  );
}

function Said({ parts, name }: { parts: Part[]; name: string }) {
  return (
    <>
      {parts.map((part, n) => {
        const text = part.kind === "text" ? prose(part.text, parts[n - 1], parts[n + 1]) : part.text.replace(/^\n+|\s+$/g, "");
        if (!text) return null;
        const block = <Text text={text} kind={part.kind === "code" ? "python" : "text"} name={`${name} part ${n}`} />;
        if (part.invented) return <div key={n} class="invented"><h4>Invented by the model: the environment did not say this</h4>{block}</div>;
        if (part.kind === "answer") return <div key={n} class="answer"><h4>Answer</h4>{block}</div>;
        return part.kind === "code" ? <div key={n} class="code">{block}</div> : <div key={n} class="said">{block}</div>;
      })}
    </>
  );
}

const TAGS: Record<string, [RegExp, RegExp]> = {
  code: [/<execute>\s*$/, /^\s*<\/execute>/], answer: [/<solution>\s*$/, /^\s*<\/solution>/],
};

/** Text between actions, without the tags whose place the frames take, and without the label in front. */
function prose(text: string, before: Part | undefined, after: Part | undefined): string {
  let found = text;
  if (after && TAGS[after.kind]) found = found.replace(TAGS[after.kind]![0], "");
  if (before && TAGS[before.kind]) found = found.replace(TAGS[before.kind]![1], "");
  return found.replace(/^\s*Assistant:\n?/, "").trim();
}

function Call({ call, name }: { call: ToolCall; name: string }) {
  const [code, rest] = argumentsOf(call.arguments);
  return (
    <div class="call"><h4>calls <code>{visible(call.name)}</code></h4>
      {rest && <Text text={rest} kind="json" name={name} />}
      {code && <Text text={code} kind="python" name={`${name} code`} />}
    </div>
  );
}

/** A call's code apart from its other arguments; what is no JSON object stays as it is. */
function argumentsOf(text: string): [string, string] {
  try {
    const { code, ...rest } = JSON.parse(text) as Record<string, unknown>;
    if (typeof code !== "string") return ["", JSON.stringify(JSON.parse(text), null, 2)];
    return [code, Object.keys(rest).length ? JSON.stringify(rest, null, 2) : ""];
  } catch {
    return ["", text];
  }
}

function Seen({ one, name }: { one: Observed; name: string }) {
  const verdict = one.correct === null ? "" : one.correct ? "correct" : "wrong";
  const status = one.status && one.status !== "ok" ? one.status : "";
  return (
    <div class={`observed ${verdict} ${status && "erred"}`}>
      {one.content && <div class="ran"><h4>{one.action === "propose" ? "Answer" : "What ran"}</h4><Text text={one.content} kind="python" name={`${name} ran`} /></div>}
      <h4>
        {one.action === "propose" ? "Verdict" : "Observation"}
        {verdict && <span class={`badge ${verdict}`}>{verdict}</span>}
        {status && <span class="badge wrong">{status}</span>}
      </h4>
      {one.text && <Text text={one.text} kind="terminal" name={name} />}
      {one.detail && <p class="detail">{visible(one.detail)}</p>}
    </div>
  );
}

export function End({ transcript: one }: { transcript: Transcript }) {
  const result = resultOf(one);
  return (
    <footer class={`end ${result}`}>
      <p>
        <span class={`glyph ${result}`}>{GLYPHS[result]}</span>{" "}
        {REASONS[one.outcome.terminate_reason] ?? one.outcome.terminate_reason} after {plural(one.turns.length, "turn")}
      </p>
      {one.reference !== null && (
        <details class="fold"><summary>The right answer</summary>
          <Text text={typeof one.reference === "string" ? one.reference : JSON.stringify(one.reference, null, 2)} name={`${one.key} right`} />
        </details>
      )}
    </footer>
  );
}
