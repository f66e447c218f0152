// Episodes that were chosen, as training conversations.
import { useState } from "preact/hooks";
import { plural } from "./format";
import { source } from "./source";
import { choose, chosen, message, state } from "./store";

const MOST = 10_000; // Episodes that one click chooses.

export function Chosen({ run, query, total }: { run: string; query: Record<string, string>; total: number }) {
  const [trouble, setTrouble] = useState("");
  if (state.value?.fixed) return null;
  const keys = [...(chosen.value.get(run) ?? [])];
  const all = async () => {
    for (let at = 0; at < Math.min(total, MOST); at += 500) {
      const page = await source.rows(run, query, at, 500);
      choose(run, page.rows.map((row) => row.key), true);
    }
  };
  const save = async () => {
    try {
      saved(await source.conversations(run, keys), "conversations.jsonl");
      setTrouble("");
    } catch (error) {
      setTrouble(message(error));
    }
  };
  return (
    <div class="chosen">
      {keys.length === 0 ? (
        <button class="quiet" disabled={total === 0} onClick={() => void all()} title="For training conversations">
          Choose {total > MOST ? `the first ${MOST.toLocaleString("en")}` : "all listed"} for training
        </button>
      ) : (
        <>
          <b>{plural(keys.length, "episode")} chosen</b>
          <button onClick={() => void save()}>Download conversations</button>
          <button class="quiet" onClick={() => choose(run, keys, false)}>Clear</button>
        </>
      )}
      {trouble && <span class="trouble" role="alert">{trouble}</span>}
    </div>
  );
}

function saved(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
