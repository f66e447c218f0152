// Where the reader is: all of it is in the address, so that any place can be linked to.
import { signal } from "@preact/signals";

export interface Route { view: "runs" | "run" | "compare"; run: string; query: URLSearchParams }

function parsed(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view, name] = path.split(/\/(.*)/s);
  const params = new URLSearchParams(query);
  if (view === "run" && name) return { view, run: decoded(name), query: params };
  return { view: view === "compare" ? view : "runs", run: "", query: params };
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

export const route = signal<Route>(parsed(location.hash));

export function address(view: Route["view"], run: string, query: Record<string, string | number | null> = {}): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== null && value !== "") params.set(key, String(value));
  const tail = params.size ? `?${params}` : "";
  return view === "run" ? `#/run/${encodeURIComponent(run)}${tail}` : `#/${view}${tail}`;
}

/** Go to an address; `replace` leaves no step to go back to. */
export function go(to: string, replace = false): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  route.value = parsed(location.hash);
}

/** Change parts of the query where the reader is; null removes a part. */
export function change(parts: Record<string, string | number | null>, replace = false): void {
  const { view, run, query } = route.value;
  go(address(view, run, { ...Object.fromEntries(query), ...parts }), replace);
}

export function follow(): void {
  const read = () => (route.value = parsed(location.hash));
  addEventListener("hashchange", read);
  addEventListener("popstate", read);
}
