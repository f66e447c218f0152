// The files of an export: scripts that call `codeactData`, since pages from disk may load nothing else.
import type { Query, Source } from "./source";
import type { Facets, Flip, Page, Pair, Pairs, Row, SideBySide, State, Transcript } from "./types";

interface Index { state: State; rows: Record<string, Row[]>; places: Record<string, [number, number][]> }

declare global {
  interface Window {
    codeactData?: (name: string, value: unknown) => void;
    trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(url: string): string }): ScriptUrls };
  }
}

/** Whether this page is one of an export. */
export const exported = (): boolean => document.documentElement.dataset["export"] === "true";

interface ScriptUrls { createScriptURL(url: string): string }

/** The only address that the page's policy takes for a script made here: a file of the data. */
const rules: ScriptUrls = {
  createScriptURL(url) {
    if (!/^data\/[\w-]+\.js$/.test(url)) throw new Error(`${url} is no file of the data`);
    return url;
  },
};
let urls: ScriptUrls | undefined;

const wanted = new Map<string, (value: unknown) => void>();

function loaded<T>(name: string): Promise<T> {
  window.codeactData = (of, value) => wanted.get(of)?.(value);
  return new Promise((resolve, reject) => {
    wanted.set(name, resolve as (value: unknown) => void);
    const script = document.createElement("script");
    urls ??= window.trustedTypes?.createPolicy("codeact-data", rules) ?? rules;
    script.src = urls.createScriptURL(`data/${name}.js`);
    script.onload = () => script.remove();
    script.onerror = () => reject(new Error(`data/${name}.js is missing beside this page`));
    document.head.append(script);
  });
}

export class ExportSource implements Source {
  private index?: Promise<Index>;
  private files = new Map<string, Promise<Transcript[]>>();
  private words = new Map<string, string>();

  private read(): Promise<Index> {
    return (this.index ??= loaded<Index>("index"));
  }

  async state(): Promise<State> {
    return (await this.read()).state;
  }

  async facets(run: string): Promise<Facets> {
    const rows = (await this.read()).rows[run] ?? [];
    const found: Facets = {};
    for (const name of ["task", "model", "result", "cause", "turns"] as const) {
      const counts = new Map<string, number>();
      for (const row of rows) if (row[name] !== null) counts.set(`${row[name]}`, (counts.get(`${row[name]}`) ?? 0) + 1);
      found[name] = [...counts].sort((x, y) => x[0].localeCompare(y[0], "en", { numeric: true }));
    }
    return found;
  }

  async rows(run: string, query: Query, offset: number, limit: number): Promise<Page<Row>> {
    let rows = ((await this.read()).rows[run] ?? []).filter((row) => fits(row, query));
    if (query["q"]) rows = await this.searched(run, rows, query["q"]);
    rows = sorted(rows, query["sort"] ?? "");
    return { total: rows.length, rows: rows.slice(offset, offset + limit) };
  }

  /** Every word has to be in the episode; its files are read once. */
  private async searched(run: string, rows: Row[], query: string): Promise<Row[]> {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean).map((word) => word.replace(/^"|"$/g, ""));
    const found: Row[] = [];
    for (const row of rows) {
      const name = `${run}\n${row.key}`;
      let text = this.words.get(name);
      if (text === undefined) {
        text = JSON.stringify(await this.episode(run, row.key)).toLowerCase();
        this.words.set(name, text);
      }
      if (words.every((word) => text.includes(word))) found.push(row);
    }
    return found;
  }

  async episode(run: string, key: string): Promise<Transcript> {
    const index = await this.read();
    const at = (index.rows[run] ?? []).findIndex((row) => row.key === key);
    const place = index.places[run]?.[at];
    if (!place) throw new Error(`There is no episode ${key} in ${run}.`);
    const name = `episodes-${place[0]}`;
    if (!this.files.has(name)) this.files.set(name, loaded<Transcript[]>(name));
    const found = (await this.files.get(name)!)[place[1]];
    if (!found) throw new Error(`data/${name}.js lacks ${key}.`);
    return found;
  }

  async pairs(a: string, b: string, query: Query, offset: number, limit: number): Promise<Pairs> {
    const { rows } = await this.read();
    const all = paired(rows[a] ?? [], rows[b] ?? []);
    const counts: Record<Flip, number> = { won: 0, lost: 0, both: 0, neither: 0, unpaired: 0 };
    for (const one of all) counts[one.flip] += 1;
    const only = (query["only"] ?? "").split(",").filter(Boolean);
    const kept = all.filter((one) => (!only.length || only.includes(one.flip)) && (!query["task"] || one.task === query["task"]));
    return { total: kept.length, rows: kept.slice(offset, offset + limit), counts };
  }

  async beside(a: string, keyA: string, b: string, keyB: string): Promise<SideBySide> {
    const one = keyA ? await this.episode(a, keyA) : null;
    const other = keyB ? await this.episode(b, keyB) : null;
    return { a: one, b: other, ...parting(one, other) };
  }

  conversations(): Promise<Blob> {
    return Promise.reject(new Error("An export cannot make conversations: run codeact view on the run folder."));
  }

  watch(): void {}
}

function fits(row: Row, query: Query): boolean {
  for (const name of ["task", "model", "result", "cause", "turns"] as const) {
    if (query[name] && query[name] !== `${row[name]}`) return false;
  }
  return true;
}

function sorted(rows: Row[], by: string): Row[] {
  const [name, down] = by.startsWith("-") ? [by.slice(1), -1] : [by, 1];
  if (!name) return rows;
  if (name === "recorded") return [...rows].reverse();
  const value = (row: Row) => (row as unknown as Record<string, number | string | null>)[name] ?? -1;
  return [...rows].sort((x, y) => (value(x) < value(y) ? -down : value(x) > value(y) ? down : 0));
}

function paired(a: Row[], b: Row[]): Pair[] {
  const found = new Map<string, Pair>();
  for (const [side, rows] of [["a", a], ["b", b]] as const) {
    for (const row of rows) {
      const pair = found.get(row.digest) ?? { digest: row.digest, task: row.task, task_id: row.task_id, flip: "unpaired", a: [], b: [] };
      pair[side].push(row);
      found.set(row.digest, pair);
    }
  }
  for (const pair of found.values()) pair.flip = flipped(pair);
  return [...found.values()];
}

function flipped(pair: Pair): Flip {
  const [a, b] = [share(pair.a), share(pair.b)];
  if (a === null || b === null) return "unpaired";
  return b > a ? "won" : b < a ? "lost" : a > 0 ? "both" : "neither";
}

/** The share of samples that were solved, of those that count. */
function share(rows: Row[]): number | null {
  const counted = rows.filter((row) => row.counted);
  return counted.length ? counted.filter((row) => row.result === "solved").length / counted.length : null;
}

/** The first turn in which two episodes differ, and in what; the server's `parting` is the same. */
export function parting(a: Transcript | null, b: Transcript | null): { parts_at: number | null; parts_by: string } {
  if (!a || !b) return { parts_at: null, parts_by: "" };
  for (let n = 0; n < Math.max(a.turns.length, b.turns.length); n++) {
    const [one, other] = [a.turns[n], b.turns[n]];
    if (!one || !other) return { parts_at: n + 1, parts_by: "length" };
    const text = (turn: typeof one) => turn.parts.map((part) => part.text).join("") + JSON.stringify(turn.calls);
    if (text(one) !== text(other)) return { parts_at: n + 1, parts_by: "action" };
    const seen = (turn: typeof one) => turn.observed.map((each) => each.text).join("\n");
    if (seen(one) !== seen(other)) return { parts_at: n + 1, parts_by: "observation" };
    if ((one.feedback ?? "") !== (other.feedback ?? "")) return { parts_at: n + 1, parts_by: "feedback" };
  }
  if (JSON.stringify(a.opening) !== JSON.stringify(b.opening)) return { parts_at: 0, parts_by: "opening" };
  return { parts_at: null, parts_by: "" };
}
