// The episodes of a run: filters, search, and a list of any length.
import { useComputed } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { Chosen } from "./chosen";
import { count, GLYPHS, percent, plural, REASONS, seconds, usd } from "./format";
import { useKeys } from "./keys";
import { usePages } from "./pages";
import { address, change, go, route } from "./route";
import { source } from "./source";
import { choose, chosen, runOf, state } from "./store";
import { visible } from "./text";
import { Reading } from "./transcript";
import type { Facets, Row, Run } from "./types";
import { useVirtual } from "./virtual";

const FILTERS = ["task", "model", "result", "cause", "turns"] as const;
const LABELS: Record<(typeof FILTERS)[number], string> = {
  task: "task set", model: "model", result: "result", cause: "cause", turns: "turns",
};
const SORTS: [string, string][] = [
  ["", "as recorded"], ["-recorded", "newest first"], ["task", "by task"], ["turns", "fewest turns"], ["-turns", "most turns"],
  ["-prompt", "most tokens read"], ["-completion", "most tokens written"], ["-cost", "most costly"], ["-seconds", "slowest"],
];
export const ROW = 54;

const picked = (): Record<string, string> => {
  const found: Record<string, string> = {};
  for (const name of ["q", "sort", ...FILTERS]) {
    const value = route.value.query.get(name);
    if (value) found[name] = value;
  }
  return found;
};

export function RunPage({ name }: { name: string }) {
  const run = runOf(name);
  const query = useComputed(picked).value;
  const identity = JSON.stringify([name, query]);
  const version = run?.version ?? 0;
  const pages = usePages<Row, Awaited<ReturnType<typeof source.rows>>>(
    (offset, limit) => source.rows(name, query, offset, limit), identity, version,
  );
  const list = useRef<HTMLDivElement>(null);
  const reader = useRef<HTMLElement>(null);
  const [at, setAt] = useState(-1);
  const key = route.value.query.get("key");
  const total = pages.total ?? 0;
  const rows = useVirtual({ count: total, scroller: list, size: () => ROW });
  const items = rows.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items[items.length - 1]?.index ?? 0];
  useEffect(() => pages.want(first, last), [first, last, identity, version]);
  useEffect(() => setAt(-1), [identity]);
  const found = items.find((item) => pages.row(item.index)?.key === key)?.index;
  const current = at >= 0 && (pages.row(at)?.key ?? key) === key ? at : (found ?? -1);

  const show = (index: number) => {
    const next = Math.max(0, Math.min(total - 1, index));
    const row = pages.row(next);
    setAt(next);
    rows.scrollToIndex(next, { align: "auto" });
    if (row) change({ key: row.key, turn: null }, true);
    else void source.rows(name, query, next, 1).then((page) => page.rows[0] && change({ key: page.rows[0].key, turn: null }, true));
  };
  const step = (by: number) => (total ? show(current < 0 ? (by > 0 ? 0 : total - 1) : current + by) : undefined);
  const reads = () => !!reader.current?.contains(document.activeElement);
  const leave = () => {
    if (reads() || (key && narrow())) {
      if (narrow()) change({ key: null, turn: null }, true);
      requestAnimationFrame(() => list.current?.focus());
    } else if (document.activeElement?.matches("input, select")) list.current?.focus();
    else if (key) change({ key: null, turn: null }, true);
    else if ((state.value?.runs.length ?? 0) > 1) go("#/");
  };
  useKeys({
    j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), n: () => step(1), p: () => step(-1),
    g: () => show(0), G: () => show(total - 1), Home: () => show(0), End: () => show(total - 1),
    PageDown: () => step(10), PageUp: () => step(-10),
    Enter: () => {
      if (document.activeElement?.matches("input")) return step(0), list.current?.focus();
      if (!key) step(1);
      requestAnimationFrame(() => reader.current?.focus());
    },
    x: () => (key ? choose(name, [key]) : undefined),
    Escape: leave,
    "/": () => document.querySelector<HTMLInputElement>("#search")?.focus(),
  });
  if (state.value && !run) return <p class="empty">There is no run {name} here. <a href="#/">See the runs</a>.</p>;
  return (
    <div class={`split ${key ? "reading" : ""}`}>
      <section class="side" aria-label="Episodes">
        <Filters name={name} version={version} query={query} />
        <Summary run={run} total={pages.total} filtered={Object.keys(query).some((one) => one !== "sort")} />
        {pages.error && <p class="trouble" role="alert">{pages.error}</p>}
        <div
          class="scroll" ref={list} tabIndex={0} role="listbox" aria-label="Episodes"
          aria-activedescendant={current >= 0 && found !== undefined ? `row-${current}` : undefined}
        >
          <div class="tall" role="presentation" style={{ height: `${rows.getTotalSize()}px` }}>
            {items.map((item) => (
              <Line
                key={item.key} index={item.index} start={item.start} row={pages.row(item.index)} total={total} run={name}
                current={item.index === current} several={(run?.models.length ?? 0) > 1}
                open={() => (setAt(item.index), show(item.index), narrow() && requestAnimationFrame(() => reader.current?.focus()))}
              />
            ))}
          </div>
          {pages.total === 0 && !pages.error && <Nothing run={run} filtered={Object.keys(query).length > 0} />}
        </div>
        <Chosen run={name} query={query} total={total} />
      </section>
      <Reading run={name} episode={key} version={version} pane={reader} leave={leave} />
    </div>
  );
}

export const narrow = (): boolean => matchMedia("(max-width: 860px)").matches;

function Filters({ name, version, query }: { name: string; version: number; query: Record<string, string> }) {
  const [facets, setFacets] = useState<Facets>({});
  const [text, setText] = useState(query["q"] ?? "");
  const typing = useRef<number | undefined>(undefined);
  useEffect(() => void source.facets(name).then(setFacets, () => setFacets({})), [name, version]);
  useEffect(() => setText(query["q"] ?? ""), [query["q"]]);
  const typed = (value: string) => {
    setText(value);
    clearTimeout(typing.current);
    typing.current = setTimeout(() => change({ q: value.trim(), key: null, turn: null }, true), 150);
  };
  return (
    <div class="filters">
      <input
        id="search" type="search" placeholder="Search all messages  ( / )" aria-label="Search the text of all messages"
        value={text} onInput={(event) => typed(event.currentTarget.value)} spellcheck={false} autocomplete="off"
      />
      <div class="selects">
        {FILTERS.filter((one) => (facets[one]?.length ?? 0) > 1 || query[one]).map((one) => (
          <select
            key={one} aria-label={`Filter by ${LABELS[one]}`} class={query[one] ? "set" : ""} value={query[one] ?? ""}
            onChange={(event) => change({ [one]: event.currentTarget.value, key: null, turn: null })}
          >
            <option value="">{LABELS[one]}: all</option>
            {(facets[one] ?? []).map(([value, n]) => (
              <option key={value} value={value}>{one === "turns" ? plural(+value, "turn") : value} ({count(n)})</option>
            ))}
          </select>
        ))}
        <select
          aria-label="Order" value={query["sort"] ?? ""}
          onChange={(event) => change({ sort: event.currentTarget.value, key: null, turn: null })}
        >
          {SORTS.map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        </select>
      </div>
    </div>
  );
}

function Summary({ run, total, filtered }: { run: Run | undefined; total: number | null; filtered: boolean }) {
  const others = state.value?.runs.filter((one) => one.name !== run?.name) ?? [];
  return (
    <p class="summary" role="status">
      <span>
        {total === null ? "…" : plural(total, "episode")}
        {filtered && run && ` of ${count(run.episodes)}`}
        {!filtered && run && run.counted > 0 && ` · ${percent(run.solved, run.counted)} solved`}
        {run?.live && <b class="live"> live</b>}
      </span>
      {run && others.length > 0 && (
        <select
          aria-label="Compare with another run" value=""
          onChange={(event) => go(address("compare", "", { a: run.name, b: event.currentTarget.value }))}
        >
          <option value="">compare with …</option>
          {others.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
        </select>
      )}
    </p>
  );
}

function Nothing({ run, filtered }: { run: Run | undefined; filtered: boolean }) {
  if (filtered) {
    return (
      <p class="empty">
        No episode is like that. <button onClick={() => go(address("run", run?.name ?? ""))}>Show all episodes</button>
      </p>
    );
  }
  return <p class="empty">This run has no finished episode yet. They appear here as they end.</p>;
}

interface LineGiven {
  index: number; start: number; row: Row | undefined; total: number; run: string; current: boolean; several: boolean; open: () => void;
}

function Line({ index, start, row, total, run, current, several, open }: LineGiven) {
  const picked = !!row && !!chosen.value.get(run)?.has(row.key);
  return (
    <div
      id={`row-${index}`} class={`line ${current ? "current" : ""} ${picked ? "picked" : ""}`} role="option" aria-selected={current}
      aria-setsize={total} aria-posinset={index + 1} style={{ transform: `translateY(${start}px)`, height: `${ROW}px` }} onClick={open}
    >
      {row ? <Entry row={row} several={several} picked={picked} /> : <span class="pending">…</span>}
    </div>
  );
}

export function Entry({ row, several = false, picked = false }: { row: Row; several?: boolean; picked?: boolean }) {
  return (
    <>
      <span class={`glyph ${row.result}`} aria-label={row.result}>{GLYPHS[row.result]}</span>
      <span class="what">
        <span class="name">
          <b>{visible(row.task)}</b> {visible(row.task_id)}
          {row.sample > 0 && <span class="sample"> sample {row.sample}</span>}
          {picked && <span class="tag">chosen</span>}
        </span>
        <span class="facts">
          {plural(row.turns, "turn")} · {count(row.prompt + row.completion)} tokens
          {row.cost !== null && ` · ${usd(row.cost)}`}
          {row.seconds > 0 && ` · ${seconds(row.seconds)}`}
          {row.result !== "solved" && ` · ${row.cause ? `${row.cause} failed` : (REASONS[row.reason] ?? row.reason)}`}
          {several && ` · ${row.model}`}
        </span>
      </span>
    </>
  );
}
