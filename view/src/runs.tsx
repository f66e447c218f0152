// All runs that are shown, and what to do where there is none.
import { useState } from "preact/hooks";
import { count, percent } from "./format";
import { useKeys } from "./keys";
import { address, go } from "./route";
import { state } from "./store";
import type { Run } from "./types";

export function RunsPage() {
  const runs = state.value?.runs ?? [];
  const [at, setAt] = useState(0);
  const [marked, mark] = useState<string[]>([]);
  const step = (by: number) => {
    const next = Math.max(0, Math.min(runs.length - 1, at + by));
    setAt(next);
    document.querySelectorAll<HTMLElement>(".runs a.open")[next]?.focus();
  };
  const toggle = (name: string) => mark((old) => (old.includes(name) ? old.filter((one) => one !== name) : [...old, name].slice(-2)));
  useKeys({
    j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
    Enter: () => runs[at] && go(address("run", runs[at].name)),
    x: () => runs[at] && toggle(runs[at].name),
  });
  if (!state.value) return <p class="empty">…</p>;
  if (!runs.length) return <Hint text={state.value.hint} />;
  return (
    <div class="runs scroll" tabIndex={-1}>
      <h1>Runs</h1>
      <p class="actions">
        {marked.length === 2 ? (
          <button onClick={() => go(address("compare", "", { a: marked[0]!, b: marked[1]! }))}>Compare {marked[0]} with {marked[1]}</button>
        ) : runs.length > 1 ? "Mark two runs to read them side by side." : ""}
      </p>
      <table>
        <thead><tr>{runs.length > 1 && <th><span class="hidden">marked</span></th>}<th>run</th><th>model</th><th class="number">episodes</th><th class="number">solved</th></tr></thead>
        <tbody>
          {runs.map((run, n) => (
            <tr key={run.name} class={n === at ? "current" : ""}>
              {runs.length > 1 && <td><input type="checkbox" aria-label={`Mark ${run.name}`} checked={marked.includes(run.name)} onChange={() => toggle(run.name)} /></td>}
              <td><a class="open" href={address("run", run.name)} onFocus={() => setAt(n)}>{run.name}</a>{run.live && <b class="live"> live</b>}</td>
              <td>{models(run)}</td>
              <td class="number">{count(run.episodes)}</td>
              <td class="number">{percent(run.solved, run.counted)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const models = (run: Run): string => (run.models.length > 3 ? `${run.models.length} models` : run.models.join(", "));

function Hint({ text }: { text: string }) {
  return (
    <div class="empty hint">
      <h1>Nothing is recorded here yet</h1>
      <p>{text}</p>
      <pre class="block">codeact run model=recorded task=sample tracker=none run_dir=runs/demo{"\n"}codeact view runs/demo</pre>
      <p>This page shows new runs as soon as they have begun.</p>
    </div>
  );
}
