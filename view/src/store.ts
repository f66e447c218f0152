// What several parts of the page share.
import { signal } from "@preact/signals";
import { source } from "./source";
import type { Run, State } from "./types";

export const state = signal<State | null>(null);
export const trouble = signal("");
export const lost = signal(false);
export const helping = signal(false);
export const said = signal("");

/** Episodes that are chosen for training, by run. */
export const chosen = signal<ReadonlyMap<string, ReadonlySet<string>>>(new Map());

export function choose(run: string, keys: string[], is?: boolean): void {
  const of = new Set(chosen.value.get(run));
  for (const key of keys) if (is ?? !of.has(key)) of.add(key); else of.delete(key);
  chosen.value = new Map(chosen.value).set(run, of);
}

export const runOf = (name: string): Run | undefined => state.value?.runs.find((run) => run.name === name);

export async function begin(): Promise<void> {
  try {
    state.value = await source.state();
    document.title = state.value.title;
    source.watch((now) => (state.value = now), (is) => (lost.value = is));
  } catch (error) {
    trouble.value = message(error);
  }
}

export const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

type Theme = "light" | "dark";
const KEPT = "codeact-theme";

function kept(): Theme | null {
  try {
    const found = localStorage.getItem(KEPT);
    return found === "light" || found === "dark" ? found : null;
  } catch {
    return null; // A page from disk may have no storage.
  }
}

export function applyTheme(): void {
  const wanted = kept() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset["theme"] = wanted;
}

export function otherTheme(): void {
  const next = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  try {
    localStorage.setItem(KEPT, next);
  } catch {
    // It then lasts as long as the page.
  }
}
