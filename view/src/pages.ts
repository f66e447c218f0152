// A long list of which only the pages in sight are fetched.
import { useEffect, useReducer, useRef } from "preact/hooks";
import { NotYet } from "./source";
import { message } from "./store";
import type { Page } from "./types";

const SIZE = 100;

export interface Pages<T> {
  total: number | null;
  error: string;
  row(index: number): T | undefined;
  /** Fetch what is between two places, if it is not there. */
  want(first: number, last: number): void;
  /** The answer as a whole to the latest request, for what it says beside rows. */
  latest: Page<T> | null;
}

interface Held<T> { rows: Map<number, T[]>; asked: Map<number, number>; total: number | null; error: string; latest: Page<T> | null; identity: string }

/** `identity` names the list; when only `version` changes, old rows stay until new ones are there. */
export function usePages<T, P extends Page<T>>(
  fetched: (offset: number, limit: number) => Promise<P>, identity: string, version: number,
): Omit<Pages<T>, "latest"> & { latest: P | null } {
  const [, drawn] = useReducer((n: number) => n + 1, 0);
  const held = useRef<Held<T>>(fresh(identity));
  if (held.current.identity !== identity) {
    const { latest, total } = held.current;
    held.current = { ...fresh<T>(identity), latest, total: total === 0 ? null : total };
  }
  const mine = held.current;
  const ask = (page: number) => {
    if (mine.asked.get(page) === version) return;
    mine.asked.set(page, version);
    fetched(page * SIZE, SIZE).then(
      (found) => {
        if (held.current !== mine) return;
        mine.rows.set(page, found.rows);
        Object.assign(mine, { total: found.total, latest: found, error: "" });
        drawn(0);
      },
      (error: unknown) => {
        if (held.current !== mine) return;
        mine.error = message(error);
        if (error instanceof NotYet) {
          mine.asked.delete(page);
          setTimeout(() => held.current === mine && ask(page), 1000);
          return drawn(0);
        }
        mine.total ??= 0;
        drawn(0);
      },
    );
  };
  useEffect(() => ask(0), [identity, version]);
  return {
    total: mine.total,
    error: mine.error,
    latest: mine.latest as P | null,
    row: (index) => mine.rows.get(Math.floor(index / SIZE))?.[index % SIZE],
    want: (first, last) => {
      for (let page = Math.floor(first / SIZE); page <= Math.floor(last / SIZE); page++) ask(page);
    },
  };
}

const fresh = <T>(identity: string): Held<T> => ({
  rows: new Map(), asked: new Map(), total: null, error: "", latest: null, identity,
});
