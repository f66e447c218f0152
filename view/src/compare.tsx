// Two runs side by side: task by task, and within a task turn by turn.
import { useEffect, useRef, useState } from "preact/hooks";
import { count, GLYPHS, plural, resultOf } from "./format";
import { useKeys } from "./keys";
import { narrow, ROW } from "./list";
import { usePages } from "./pages";
import { address, change, go, route } from "./route";
import { source } from "./source";
import { message, runOf, state } from "./store";
import { visible } from "./text";
import { End, Name, Opening, TurnBlock } from "./transcript";
import type { Flip, Pair, Pairs, Row, SideBySide, Transcript } from "./types";
import { useVirtual, type Pane } from "./virtual";

const FLIPS: [Flip, string, string][] = [
  ["won", "won", "solved by B alone"], ["lost", "lost", "solved by A alone"],
  ["both", "both", "solved by both alike"], ["neither", "neither", "solved by neither"], ["unpaired", "unpaired", "not counted in both"],
];

export function ComparePage() {
  const query = route.value.query;
  const [a, b] = [query.get("a") ?? "", query.get("b") ?? ""];
  const missing = [a, b].filter((name) => !runOf(name));
  if (state.value && missing.length) {
    return <p class="empty">{missing[0] ? `There is no run ${missing[0]} here.` : "Choose two runs to compare."} <a href="#/">See the runs</a>.</p>;
  }
  return <Comparison key={`${a}\n${b}`} a={a} b={b} />;
}

function Comparison({ a, b }: { a: string; b: string }) {
  const query = route.value.query;
  const asked: Record<string, string> = { only: query.get("only") ?? "" };
  const digest = query.get("digest");
  const identity = JSON.stringify([a, b, asked]);
  const version = (runOf(a)?.version ?? 0) * 1e6 + (runOf(b)?.version ?? 0);
  const pages = usePages<Pair, Pairs>((offset, limit) => source.pairs(a, b, asked, offset, limit), identity, version);
  const list = useRef<HTMLDivElement>(null);
  const reader = useRef<HTMLElement>(null);
  const total = pages.total ?? 0;
  const rows = useVirtual({ count: total, scroller: list, size: () => ROW });
  const items = rows.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items[items.length - 1]?.index ?? 0];
  useEffect(() => pages.want(first, last), [first, last, identity, version]);
  const [at, setAt] = useState(-1);
  const [kept, keep] = useState<Pair | null>(null);
  const found = items.find((item) => pages.row(item.index)?.digest === digest)?.index ?? -1;
  const current = at >= 0 && pages.row(at)?.digest === digest ? at : found;
  const shown = (current >= 0 ? pages.row(current) : undefined) ?? (kept?.digest === digest ? kept : null);
  useEffect(() => { // A link names a task that may be anywhere in the list.
    if (digest && !shown) void source.pairs(a, b, { digest }, 0, 1).then((page) => keep(page.rows[0] ?? null));
  }, [digest, !shown]);
  const show = (index: number) => {
    const next = Math.max(0, Math.min(total - 1, index));
    setAt(next);
    rows.scrollToIndex(next, { align: "auto" });
    const pair = pages.row(next);
    if (pair) keep(pair), change({ digest: pair.digest, sample: null, turn: null }, true);
  };
  const step = (by: number) => (total ? show(current < 0 ? 0 : current + by) : undefined);
  const leave = () => {
    if (reader.current?.contains(document.activeElement) || (digest && narrow())) {
      if (narrow()) change({ digest: null }, true);
      requestAnimationFrame(() => list.current?.focus());
    } else if (digest) change({ digest: null }, true);
    else go(address("run", a));
  };
  useKeys({
    j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), n: () => step(1), p: () => step(-1),
    g: () => show(0), G: () => show(total - 1),
    Enter: () => {
      if (!digest) step(1);
      requestAnimationFrame(() => reader.current?.focus());
    },
    Escape: leave,
  });
  const counts = pages.latest?.counts;
  return (
    <div class={`split ${digest ? "reading" : ""}`}>
      <section class="side" aria-label="Tasks">
        <div class="filters">
          <p class="versus"><b>A</b> <a href={address("run", a)}>{a}</a><br /><b>B</b> <a href={address("run", b)}>{b}</a>{" "}
            <button class="quiet" onClick={() => go(address("compare", "", { a: b, b: a }))} aria-label="Exchange A and B">⇄</button>
          </p>
          <div class="flips" role="group" aria-label="Which tasks">
            {FLIPS.map(([flip, label, title]) => (
              <button
                key={flip} class={`flip ${flip}`} aria-pressed={asked["only"] === flip} title={title}
                onClick={() => change({ only: asked["only"] === flip ? null : flip, digest: null })}
              >
                {label} <b>{counts ? count(counts[flip]) : "…"}</b>
              </button>
            ))}
          </div>
        </div>
        {pages.error && <p class="trouble" role="alert">{pages.error}</p>}
        <div
          class="scroll" ref={list} tabIndex={0} role="listbox" aria-label="Tasks of both runs"
          aria-activedescendant={current >= 0 && found >= 0 ? `row-${current}` : undefined}
        >
          <div class="tall" role="presentation" style={{ height: `${rows.getTotalSize()}px` }}>
            {items.map((item) => (
              <PairLine
                key={item.key} index={item.index} start={item.start} pair={pages.row(item.index)} total={total} current={item.index === current}
                open={() => (show(item.index), narrow() && requestAnimationFrame(() => reader.current?.focus()))}
              />
            ))}
          </div>
          {pages.total === 0 && <p class="empty">{counts && Object.values(counts).some(Boolean) ? "No task is like that." : "These runs have no task in common: tasks are the same where their digests are."}</p>}
        </div>
      </section>
      <section class="reader scroll" ref={reader} tabIndex={0} aria-label="Side by side">
        {shown ? <Beside a={a} b={b} pair={shown} pane={reader} leave={leave} /> : (
          <p class="empty">Choose a task to read both runs side by side. <b>won</b> are tasks that B solved and A did not.</p>
        )}
      </section>
    </div>
  );
}

interface PairGiven { index: number; start: number; pair: Pair | undefined; total: number; current: boolean; open: () => void }

function PairLine({ index, start, pair, total, current, open }: PairGiven) {
  return (
    <div
      id={`row-${index}`} class={`line ${current ? "current" : ""}`} role="option" aria-selected={current} aria-setsize={total}
      aria-posinset={index + 1} style={{ transform: `translateY(${start}px)`, height: `${ROW}px` }} onClick={open}
    >
      {pair ? (
        <>
          <span class="marks"><Marks rows={pair.a} /> <Marks rows={pair.b} /></span>
          <span class="what">
            <span class="name"><b>{visible(pair.task)}</b> {visible(pair.task_id)}</span>
            <span class="facts">{FLIPS.find(([flip]) => flip === pair.flip)?.[2]} · {side(pair.a)} | {side(pair.b)}</span>
          </span>
        </>
      ) : <span class="pending">…</span>}
    </div>
  );
}

const side = (rows: Row[]): string => (rows[0] ? plural(rows[0].turns, "turn") : "none");

function Marks({ rows }: { rows: Row[] }) {
  if (!rows.length) return <span class="glyph">–</span>;
  if (rows.length === 1) return <span class={`glyph ${rows[0]!.result}`} aria-label={rows[0]!.result}>{GLYPHS[rows[0]!.result]}</span>;
  const solved = rows.filter((row) => row.result === "solved").length;
  return <span class={`glyph ${solved ? "solved" : "failed"}`}>{solved}/{rows.length}</span>;
}

const PARTS: Record<string, string> = {
  opening: "They were asked differently", action: "Here they act differently", observation: "Here the same action shows something else",
  feedback: "Here the feedback differs", length: "Here one of them ends",
};

interface BesideGiven { a: string; b: string; pair: Pair; pane: Pane; leave: () => void }

function Beside({ a, b, pair, pane, leave }: BesideGiven) {
  const sample = Number(route.value.query.get("sample") ?? 0);
  const samples = Math.max(pair.a.length, pair.b.length);
  const [keyA, keyB] = [pair.a[sample]?.key ?? "", pair.b[sample]?.key ?? ""];
  const [found, setFound] = useState<(SideBySide & { keys: string }) | null>(null);
  const [trouble, setTrouble] = useState("");
  const keys = `${keyA}\n${keyB}`;
  useEffect(() => {
    let now = true;
    source.beside(a, keyA, b, keyB).then(
      (both) => now && (setFound({ ...both, keys }), setTrouble("")), (error: unknown) => now && setTrouble(message(error)),
    );
    return () => void (now = false);
  }, [keys]);
  if (trouble) return <p class="empty trouble" role="alert">{trouble}</p>;
  if (!found) return <p class="empty">…</p>;
  return (
    <>
      {samples > 1 && (
        <p class="samples">{Array.from({ length: samples }, (_, n) => (
          <button key={n} aria-pressed={n === sample} onClick={() => change({ sample: n }, true)}>sample {n}</button>
        ))}</p>
      )}
      <Aligned key={found.keys} both={found} names={[a, b]} pane={pane} leave={leave} />
    </>
  );
}

function Aligned({ both, names, pane, leave }: { both: SideBySide; names: [string, string]; pane: Pane; leave: () => void }) {
  const turns = Math.max(both.a?.turns.length ?? 0, both.b?.turns.length ?? 0);
  const total = turns + 2;
  const rows = useVirtual({ count: total, scroller: pane, size: () => 420, overscan: 3 });
  const place = useRef(0);
  const jump = (to: number) => {
    place.current = Math.max(0, Math.min(total - 1, to));
    rows.scrollToIndex(place.current, { align: "start" });
  };
  useEffect(() => rows.scrollToIndex(0), []);
  const here = () => !!pane.current?.contains(document.activeElement);
  useKeys({
    d: () => (both.parts_at !== null ? jump(both.parts_at) : undefined),
    j: () => (here() ? jump(place.current + 1) : false), k: () => (here() ? jump(place.current - 1) : false),
    g: () => (here() ? jump(0) : false), G: () => (here() ? jump(total - 1) : false),
    ArrowDown: () => here() && void pane.current?.scrollBy({ top: 60 }), ArrowUp: () => here() && void pane.current?.scrollBy({ top: -60 }),
  });
  return (
    <div class="tall" style={{ height: `${rows.getTotalSize()}px` }}>
      {rows.getVirtualItems().map((item) => (
        <div
          key={item.key} class="passage" data-index={item.index} ref={(element) => rows.measureElement(element)}
          style={{ transform: `translateY(${item.start}px)` }}
        >
          {item.index === 0 && <Top both={both} leave={leave} jump={() => jump(both.parts_at ?? 0)} />}
          {item.index === both.parts_at && <p class="parting" role="note">{PARTS[both.parts_by]}</p>}
          <div class={`pair ${both.parts_at !== null && item.index > both.parts_at ? "after" : ""}`}>
            {([both.a, both.b] as const).map((one, n) => <div key={n} class="half">{half(one, names[n]!, item.index, turns, n)}</div>)}
          </div>
        </div>
      ))}
    </div>
  );
}

function half(one: Transcript | null, run: string, index: number, turns: number, n: number) {
  if (index === 0) {
    return (
      <header class="head small">
        <p class="side-name"><b>{"AB"[n]}</b> <a href={one ? address("run", run, { key: one.key }) : address("run", run)}>{run}</a></p>
        {one ? <p class={`verdict ${resultOf(one)}`}>{GLYPHS[resultOf(one)]} {plural(one.turns.length, "turn")}, {count(one.usage.prompt + one.usage.completion)} tokens</p> : <p>This run has no such episode.</p>}
      </header>
    );
  }
  if (!one) return null;
  if (index > turns) return <End transcript={one} />;
  const turn = one.turns[index - 1];
  return turn ? <TurnBlock turn={turn} of={one} run={run} compact /> : <p class="nothing">ended after {plural(one.turns.length, "turn")}</p>;
}

function Top({ both, leave, jump }: { both: SideBySide; leave: () => void; jump: () => void }) {
  const one = both.a ?? both.b;
  if (!one) return null;
  return (
    <header class="head">
      <button class="back quiet" onClick={leave} aria-label="Back to the list">←</button>
      <h2><Name episode={one} /></h2>
      <p class="tools">
        {both.parts_at === null ? (both.a && both.b ? "Both went the same way." : "Only one run has this task.") : (
          <button onClick={jump}>{both.parts_at === 0 ? "They part before the first turn" : `They part in turn ${both.parts_at}`} <kbd>d</kbd></button>
        )}
      </p>
      <Opening messages={one.opening} name={`beside ${one.key}`} />
    </header>
  );
}
