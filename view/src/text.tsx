// Text that others wrote, shown as text: nothing here takes markup, and what cannot be seen is named.
import { signal } from "@preact/signals";
import { AnsiUp } from "ansi_up";
import hljs from "highlight.js/lib/core";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import type { ComponentChild } from "preact";
import { h } from "preact";
import { useMemo } from "preact/hooks";

hljs.registerLanguage("python", python);
hljs.registerLanguage("json", json);

const LONG = 20_000; // Characters that are shown at first.
const COLOURED = 60_000; // Characters that are highlighted at the most.

// Control characters but tab and newline; marks of direction, zero width and line separation.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/u;
const UNSEEN_ALL = new RegExp(UNSEEN.source, "gu");

/** A text with each character that cannot be seen in a frame of its own. */
export function visible(text: string): ComponentChild {
  const whole = text.includes("\r\n") ? text.replaceAll("\r\n", "\n") : text;
  if (!UNSEEN.test(whole)) return whole;
  const found: ComponentChild[] = [];
  let position = 0;
  for (const one of whole.matchAll(UNSEEN_ALL)) {
    if (one.index > position) found.push(whole.slice(position, one.index));
    found.push(<span class="unseen">{named(one[0])}</span>);
    position = one.index + one[0].length;
  }
  found.push(whole.slice(position));
  return found;
}

function named(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "\u2421" : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

const TOKEN = /<span([^>]*)>|<\/span>|<[^>]*>|[^<]+/g;
const CLASS = /^ class="([\w\- ]+)"$/;
const ENTITIES: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'" };

/** What highlight.js and ansi_up write, as nodes: spans with a class, and text. Nothing else gets through. */
function nodes(markup: string): ComponentChild[] {
  const root: ComponentChild[] = [];
  const open: { name: string; inside: ComponentChild[] }[] = [];
  const inside = () => open[open.length - 1]?.inside ?? root;
  for (const [token, attributes] of markup.matchAll(TOKEN)) {
    if (attributes !== undefined) {
      open.push({ name: CLASS.exec(attributes)?.[1] ?? "", inside: [] });
    } else if (token === "</span>") {
      const done = open.pop();
      if (done) inside().push(h("span", { class: done.name }, done.inside));
    } else if (!token.startsWith("<")) {
      inside().push(visible(token.replace(/&(?:amp|lt|gt|quot|#x27|#39);/g, (entity) => ENTITIES[entity] ?? entity)));
    }
  }
  return open.length ? [visible(markup)] : root;
}

function highlighted(text: string, language: "python" | "json"): ComponentChild {
  if (text.length > COLOURED) return visible(text);
  return nodes(hljs.highlight(text, { language, ignoreIllegals: true }).value);
}

const ESCAPE = "\u001b";

function terminal(text: string): ComponentChild {
  if (!text.includes(ESCAPE) || text.length > COLOURED * 20) return visible(text);
  const ansi = new AnsiUp();
  ansi.use_classes = true;
  for (const style of ["bold", "faint", "italic", "underline"] as const) ansi[`${style}Style`] = `--${style}:1`;
  ansi.url_allowlist = {};
  return nodes(styled(ansi.ansi_to_html(text)));
}

/** ansi_up writes some looks as styles; as classes they need no exception in the page's policy. */
function styled(markup: string): string {
  return markup.replace(/<span style="([^"]*)"(?: class="([\w\- ]*)")?>/g, (_, style: string, name?: string) => {
    const looks = [...style.matchAll(/--(\w+):1/g)].map((one) => `ansi-${one[1]}`);
    return `<span class="${[name, ...looks].filter(Boolean).join(" ") || "ansi-other"}">`;
  });
}

const whole = signal<ReadonlySet<string>>(new Set());

interface Given { text: string; kind?: "text" | "python" | "json" | "terminal"; name: string; label?: string }

/** A block of text. `name` is unique on the page: by it a long text stays open when it was opened. */
export function Text({ text, kind = "text", name, label }: Given) {
  const cut = text.length > LONG * 1.5 && !whole.value.has(name);
  const shown = cut ? text.slice(0, LONG) : text;
  const content = useMemo(() => {
    if (kind === "terminal") return terminal(shown);
    return kind === "text" ? visible(shown) : highlighted(shown, kind);
  }, [shown, kind]);
  const direction = kind === "text" ? "auto" : "ltr";
  return (
    <>
      <pre class={`block ${kind}`} dir={direction} aria-label={label}>{content}</pre>
      {cut && (
        <button class="more" onClick={() => (whole.value = new Set([...whole.value, name]))}>
          Show all {text.length.toLocaleString("en")} characters
        </button>
      )}
    </>
  );
}
