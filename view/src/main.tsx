// The page: what is shown follows from the address.
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ComparePage } from "./compare";
import { HELP, listen, useKeys } from "./keys";
import { RunPage } from "./list";
import { address, follow, go, route } from "./route";
import { RunsPage } from "./runs";
import { applyTheme, begin, helping, lost, otherTheme, state, trouble } from "./store";
import "./style.css";

function App() {
  const { view, run } = route.value;
  const runs = state.value?.runs ?? [];
  useKeys({ "?": () => void (helping.value = true), t: otherTheme });
  const only = runs.length === 1 && view === "runs" ? runs[0] : undefined;
  useEffect(() => {
    if (only) go(address("run", only.name), true);
  }, [only?.name]);
  return (
    <>
      <header class="bar">
        <a class="brand" href="#/">codeact</a>
        <nav aria-label="Place">
          {view === "run" && <span class="here">{run}</span>}
          {view === "compare" && <span class="here">side by side</span>}
        </nav>
        {lost.value && <span class="trouble" role="alert">The server does not answer; is it running?</span>}
        <button class="quiet" onClick={otherTheme} aria-label="Light or dark">◐</button>
        <button class="quiet" onClick={() => (helping.value = true)} aria-label="Keys">?</button>
      </header>
      <main>
        {trouble.value ? <p class="empty trouble" role="alert">{trouble.value}</p>
          : view === "run" ? <RunPage key={run} name={run} />
          : view === "compare" ? <ComparePage />
          : <RunsPage />}
      </main>
      {helping.value && <Help />}
    </>
  );
}

function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => (helping.value = false);
  useKeys({ Escape: close, "?": close });
  return (
    <dialog ref={dialog} class="help" onClose={close} aria-label="Keys">
      <h2>Keys</h2>
      <dl>{HELP.map(([keys, what]) => <div key={keys}><dt>{keys.split(" ").map((key) => (key === "/" && keys !== "/" ? " / " : <kbd key={key}>{key}</kbd>))}</dt><dd>{what}</dd></div>)}</dl>
      <button onClick={close}>Close</button>
    </dialog>
  );
}

// The token in the first address has done its work: a cookie has taken its place.
if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", location.pathname + location.hash);
applyTheme();
follow();
listen();
void begin();
render(<App />, document.querySelector("#app")!);
