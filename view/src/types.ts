// What the server sends: codeact/view/transcript.py and codeact/view/api.py have the same names.

export interface Usage { prompt: number; completion: number; cached: number; reasoning: number; cache_written: number }
export type PartKind = "text" | "code" | "answer";
export interface Part { kind: PartKind; text: string; invented: boolean }
export interface Observed {
  action: string; text: string; content: string; status: string | null; correct: boolean | null; detail: string;
}
export interface ToolCall { id: string; name: string; arguments: string }
export interface Message {
  role: string; content: string; reasoning?: string; tool_calls?: ToolCall[];
}
export interface Turn {
  number: number; action: string; parts: Part[]; observed: Observed[]; reasoning: string | null; calls: ToolCall[];
  feedback: string | null; environment: string; logged: boolean; usage: Usage; feedback_usage: Usage;
  seconds: Record<string, number>; cost: number | null; feedback_cost: number | null; retries: string[];
  reused: boolean; restored: boolean; author: string; original: string | null; cut: boolean; leaks: string[];
}
export interface Outcome { success: boolean; terminate_reason: string; cause: string | null; error: string }
export interface Attempt { cause: string; error: string; seconds: number }
export interface Transcript {
  key: string; id: string; task_name: string; task_id: string; task_digest: string; settings_digest: string;
  sample: number; model: string; turn_setting: string; feedback: string; outcome: Outcome; opening: Message[];
  turns: Turn[]; messages: Message[]; problem: string; usage: Usage; feedback_usage: Usage; cost: number | null;
  feedback_cost: number | null; seconds: number; edited: number; attempts: Attempt[];
  origin: { episode: string; place: string; turns: number } | null; reference: unknown;
}
export type Result = "solved" | "failed" | "error";
export interface Row {
  key: string; task: string; task_id: string; sample: number; model: string; digest: string; result: Result;
  cause: string | null; counted: boolean; reason: string; turns: number; prompt: number; completion: number;
  cost: number | null; seconds: number;
}
export interface Page<T> { total: number; rows: T[] }
export interface Run {
  name: string; path: string; episodes: number; solved: number; counted: number; models: string[]; live: boolean;
  version: number;
}
export interface State { runs: Run[]; fixed: boolean; hint: string; title: string }
export type Facets = Record<string, [string, number][]>;
export interface Pair {
  digest: string; task: string; task_id: string; flip: Flip; a: Row[]; b: Row[];
}
export type Flip = "won" | "lost" | "both" | "neither" | "unpaired";
export interface Pairs extends Page<Pair> { counts: Record<Flip, number> }
export interface SideBySide { a: Transcript | null; b: Transcript | null; parts_at: number | null; parts_by: string }
