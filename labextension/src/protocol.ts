/**
 * What the kernel and this extension tell each other; llmcache_jupyter/notebook/protocol.py is its twin, and
 * tells more. tests/protocol/ has an example of each message, which the tests of both sides read.
 */

export const VERSION = 1;
export const EVENTS = 'llmcache-events';
export const QUERIES = 'llmcache-queries';

export const MODES = ['on', 'refresh', 'readonly', 'replay', 'off'] as const;
export type Mode = (typeof MODES)[number];
export type SortColumn = 'stored' | 'last_used' | 'hits' | 'took' | 'tokens';

/** What calls led to. `failed`: misses of a replay, or of a store that fails. */
export interface IOutcome {
  hits: number;
  misses: number;
  failed: number;
}

/** What the latest run of a cell led to. */
export interface ICellCounts extends IOutcome {
  label: string;
  seconds_saved: number | null;
}

/** The session and its cells. Unknown is null; `changes` grows whenever there are other entries than before. */
export interface IState {
  active: boolean;
  mode: Mode;
  entries: number | null;
  maxsize: number | null;
  hits: number;
  misses: number;
  seconds_saved: number | null;
  tokens_saved: number | null;
  store: string | null;
  shared: boolean;
  failing: boolean;
  notes: string[];
  changes: number;
  cells: Record<string, ICellCounts>;
}

/**
 * An entry in a list. Durations are in seconds, moments in seconds since the epoch.
 * `stored` is null where nothing is stored, and the row is a call that missed.
 */
export interface IRow {
  id: string;
  prompt: string;
  answer: string;
  model: string | null;
  cell: string | null;
  label: string | null;
  stored: number | null;
  last_used: number | null;
  took: number | null;
  tokens: number | null;
  hits: number;
}

/** A text, and how many more characters of it there are. */
export interface IText {
  text: string;
  left: number;
}

export interface IMessage extends IText {
  role: string | null;
}

export interface IAnswer extends IText {
  calls: [name: string, args: string][];
}

/** An entry with whole texts. */
export interface IEntry extends IRow {
  messages: IMessage[];
  answers: IAnswer[];
  parameters: Record<string, string>;
}

/** What calls of a cell led to, those for one entry together. `row` is null where no more is known. */
export interface ICellEntry extends IOutcome {
  id: string;
  row: IRow | null;
}

/** A difference in words; and what was stored and what was asked, where the words don't hold them. */
export interface IChange {
  words: string;
  stored: string | null;
  asked: string | null;
}

/** Why a call was not a hit. `nearest`: the id of the entry that differs from the call in `differences`. */
export interface IExplanation {
  headline: string;
  reason: string;
  nearest: string | null;
  differences: IChange[];
  asides: string[];
  warnings: string[];
}

/** Each kind of request: what it names, and what its reply holds. */
export interface IQueries {
  state: { asks: object; result: { state: IState; comm: string } };
  entries: {
    asks: {
      text: string | null;
      model: string | null;
      sort: SortColumn;
      descending: boolean;
      offset: number;
      limit: number;
    };
    result: { rows: IRow[]; total: number };
  };
  models: { asks: object; result: [name: string, entries: number][] };
  entry: { asks: { entry: string }; result: IEntry };
  cell: { asks: { cell: string }; result: { entries: ICellEntry[]; total: number } };
  /** The last call that was not a hit, if there was one. */
  missed: { asks: object; result: IRow | null };
  why: { asks: { entry: string }; result: IExplanation };
  delete: { asks: { entry: string }; result: { removed: number } };
  clear: { asks: { shared: boolean }; result: { removed: number } };
  switch: { asks: { active: boolean; mode: Mode | null }; result: null };
  plan: { asks: { cell: string; mode: Mode }; result: null };
}

export type Kind = keyof IQueries;
export type Asks<K extends Kind> = IQueries[K]['asks'];
export type Result<K extends Kind> = IQueries[K]['result'];

/** Asks the kernel. Rejects with a QueryError. */
export type Ask = <K extends Kind>(kind: K, asks: Asks<K>) => Promise<Result<K>>;

export interface IReplyError {
  code: 'version' | 'request' | 'refused' | 'failed';
  message: string;
}

export interface IReply {
  version: number;
  id: number;
  kind: Kind;
  result?: unknown;
  error?: IReplyError;
}

/** Why a query has no result; the message is for the user. `gone`: the kernel ended or forgot the cache. */
export class QueryError extends Error {
  constructor(
    readonly code: IReplyError['code'] | 'gone',
    message: string
  ) {
    super(message);
  }
}

/** The message in `data`; throws a QueryError where it is of another version or none of ours. */
function checked(data: unknown): Record<string, unknown> {
  const message = (data ?? {}) as Record<string, unknown>;
  const version = message.version;
  if (version === VERSION) {
    return message;
  }
  const isNewer = typeof version === 'number' && version > VERSION;
  const [side, then] = isNewer
    ? ["JupyterLab's environment", 'reload the page']
    : ["the kernel's environment", 'restart the kernel'];
  throw new QueryError(
    'version',
    `JupyterLab's llmcache-jupyter speaks protocol ${VERSION}, the kernel's speaks ${String(version)}. ` +
      `Upgrade it in ${side} (pip install -U llmcache-jupyter) and ${then}.`
  );
}

/** The state that the kernel pushed. Throws a QueryError. */
export function readState(data: unknown): IState {
  const message = checked(data);
  if (message.kind !== 'state' || typeof message.session !== 'object' || message.session === null) {
    throw new QueryError('request', `The kernel sent ${String(message.kind)}, which is no state.`);
  }
  return message.session as IState;
}

/** The kernel's reply to a query. Throws a QueryError. */
export function readReply(data: unknown): IReply {
  return checked(data) as unknown as IReply;
}

/** A request as it is sent. */
export function request<K extends Kind>(id: number, kind: K, asks: Asks<K>): object {
  return { version: VERSION, id, kind, ...asks };
}
