// Where data comes from: the server that shows live runs, or the files of an export.
import { exported, ExportSource } from "./export";
import type { Facets, Page, Pairs, Row, SideBySide, State, Transcript } from "./types";

export type Query = Record<string, string>;

export interface Source {
  state(): Promise<State>;
  facets(run: string): Promise<Facets>;
  rows(run: string, query: Query, offset: number, limit: number): Promise<Page<Row>>;
  episode(run: string, key: string): Promise<Transcript>;
  pairs(a: string, b: string, query: Query, offset: number, limit: number): Promise<Pairs>;
  beside(a: string, keyA: string, b: string, keyB: string): Promise<SideBySide>;
  /** Training conversations of episodes, one JSON object a line. */
  conversations(run: string, keys: string[]): Promise<Blob>;
  /** Call `told` whenever a run has grown. */
  watch(told: (state: State) => void, lost: (is: boolean) => void): void;
}

export class Refused extends Error {}
/** What was asked for is being made: ask again. */
export class NotYet extends Error {}

class ServerSource implements Source {
  private async get<T>(path: string, query: Query = {}): Promise<T> {
    const answer = await fetch(`api/${path}?${new URLSearchParams(query)}`);
    if (answer.status === 503) throw new NotYet(await answer.text());
    if (!answer.ok) throw new Refused(await explained(answer));
    return answer.json() as Promise<T>;
  }

  state = () => this.get<State>("state");
  facets = (run: string) => this.get<Facets>("facets", { run });
  rows = (run: string, query: Query, offset: number, limit: number) =>
    this.get<Page<Row>>("rows", { ...query, run, offset: `${offset}`, limit: `${limit}` });
  episode = (run: string, key: string) => this.get<Transcript>("episode", { run, key });
  pairs = (a: string, b: string, query: Query, offset: number, limit: number) =>
    this.get<Pairs>("pairs", { ...query, a, b, offset: `${offset}`, limit: `${limit}` });
  beside = (a: string, keyA: string, b: string, keyB: string) =>
    this.get<SideBySide>("beside", { a, key_a: keyA, b, key_b: keyB });

  async conversations(run: string, keys: string[]): Promise<Blob> {
    const body = JSON.stringify({ run, keys });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("api/conversations", { method: "POST", body, headers });
    if (!answer.ok) throw new Refused(await explained(answer));
    return answer.blob();
  }

  watch(told: (state: State) => void, lost: (is: boolean) => void): void {
    const events = new EventSource("api/events");
    events.onmessage = (event) => told(JSON.parse(event.data) as State);
    events.onopen = () => lost(false);
    events.onerror = () => lost(true);
  }
}

async function explained(answer: Response): Promise<string> {
  const text = await answer.text();
  if (answer.status === 401) return "The server wants its token: open the address that codeact view has printed.";
  return text || `The server answered with status ${answer.status}.`;
}

export const source: Source = exported() ? new ExportSource() : new ServerSource();
