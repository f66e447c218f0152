// The keyboard: each part of the page says what keys do while it is shown; the latest part goes first.
import { useLayoutEffect, useRef } from "preact/hooks";

export type Keys = Record<string, (event: KeyboardEvent) => boolean | void>;

const parts: { current: Keys }[] = [];

/** `keys` are by the names of `KeyboardEvent.key`; one that returns false leaves the key to others. */
export function useKeys(keys: Keys): void {
  const part = useRef(keys);
  part.current = keys;
  useLayoutEffect(() => {
    parts.push(part);
    return () => void parts.splice(parts.indexOf(part), 1);
  }, []);
}

export function listen(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target as HTMLElement;
    const typing = at.matches?.("input, select, textarea");
    if (typing && event.key !== "Escape" && !(event.key === "Enter" && at.matches("input"))) return;
    if (event.key === "Enter" && at.matches?.("a, button, summary")) return;
    for (const part of [...parts].reverse()) {
      const done = part.current[event.key];
      if (done && done(event) !== false) return event.preventDefault();
    }
  });
}

export const HELP: [string, string][] = [
  ["j / k", "next, previous: episode, turn or task, by where the focus is"],
  ["Enter", "read: go to the transcript"],
  ["Esc", "back: to the list, to the runs; leave the search"],
  ["/", "search the text of all messages"],
  ["n / p", "next, previous episode while reading"],
  ["g / G", "first, last"],
  ["x", "choose the episode for training"],
  ["d", "side by side: go to where the runs part"],
  ["t", "light or dark"],
  ["?", "this help"],
];
