// Numbers as people read them.
import type { Transcript } from "./types";

export const count = (n: number): string => n.toLocaleString("en");
export const percent = (part: number, whole: number): string => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");
export const usd = (cost: number): string => `$${cost < 0.01 ? cost.toPrecision(2) : cost.toFixed(2)}`;

export function seconds(time: number): string {
  if (time < 1) return `${Math.round(time * 1000)} ms`;
  if (time < 120) return `${time.toFixed(1)} s`;
  return `${Math.round(time / 60)} min`;
}

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

export const REASONS: Record<string, string> = {
  task_success: "solved",
  max_propose_steps: "no proposals left",
  max_steps: "no turns left",
  max_tokens: "no tokens left",
  max_seconds: "no time left",
  error: "failed",
};

export const GLYPHS = { solved: "✓", failed: "✗", error: "!" } as const;

export function resultOf(episode: Transcript): "solved" | "failed" | "error" {
  if (episode.outcome.cause) return "error";
  return episode.outcome.success ? "solved" : "failed";
}
