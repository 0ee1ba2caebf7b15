import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { Ask, ICellEntry, IRow, SortColumn } from '../protocol';

export const PAGE = 50;

/** What is listed: all entries that match, or those that a cell's calls were for. */
export interface IFilter {
  readonly text: string;
  readonly model: string | null;
  readonly sort: SortColumn;
  readonly cell: string | null;
}

export const ALL: IFilter = { text: '', model: null, sort: 'stored', cell: null };

/**
 * A kernel's entries as a list: how many there are, and those of them that are looked at.
 *
 * - Pages are fetched as they are needed, one at a time. What is shown stays until there is something newer.
 * - An answer to what is no longer asked is dropped.
 */
export class Listing {
  constructor(private readonly _ask: Ask) {}

  get filter(): IFilter {
    return this._filter;
  }

  /** How many entries match, or null before this is known. */
  get total(): number | null {
    return this._total;
  }

  /** The models and how many entries each has. */
  get models(): readonly [string, number][] {
    return this._models;
  }

  /** Why there is nothing newer than what is shown, or null. */
  get error(): string | null {
    return this._error;
  }

  /** Whether the kernel has been asked and has not answered yet. */
  get isAsking(): boolean {
    return this._isAsking;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The row at this place, or undefined while it is not there. */
  row(index: number): IRow | undefined {
    return this._pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** How many more entries the cell's calls were for than are listed. */
  get more(): number {
    return this._more;
  }

  /** What the cell's calls led to at this entry, where a cell's entries are listed. */
  outcome(id: string): ICellEntry | undefined {
    return this._outcomes.get(id);
  }

  /** Whether one of the cell's calls for this entry missed. */
  missed(id: string): boolean {
    const led = this.outcome(id);
    return led !== undefined && led.misses + led.failed > 0;
  }

  /** The place of the entry with this id among those that are there, or -1. */
  indexOf(id: string): number {
    for (const [page, rows] of this._pages) {
      const index = rows.findIndex(row => row.id === id);
      if (index >= 0) {
        return page * PAGE + index;
      }
    }
    return -1;
  }

  /** List something else. */
  show(filter: Partial<IFilter>): void {
    this._filter = { ...this._filter, ...filter };
    this._first = 0;
    this._last = PAGE - 1;
    this.refresh();
  }

  /** These places are looked at. */
  look(first: number, last: number): void {
    this._first = first;
    this._last = last;
    this._fetch();
  }

  /** There may be other entries than before. */
  refresh(): void {
    this._version += 1;
    this._fetch();
  }

  /** There may be other entries than before, and soon others again: ask at most a fifth of the time. */
  refreshSoon(): void {
    this._timer ??= setTimeout(
      () => {
        this._timer = null;
        this.refresh();
      },
      4 * this._took
    );
  }

  /** The pages that are looked at and not there in this version, the first one first. */
  private _missing(): number | null {
    const last = this._total === null ? this._last : Math.min(this._last, this._total - 1);
    for (let page = Math.floor(this._first / PAGE); page <= Math.floor(Math.max(last, 0) / PAGE); page++) {
      if (this._versions.get(page) !== this._version) {
        return page;
      }
    }
    return null;
  }

  private _fetch(): void {
    const page = this._filter.cell === null ? this._missing() : this._missing() === null ? null : 0;
    if (this._isAsking || page === null) {
      return;
    }
    this._isAsking = true;
    this._changed.emit();
    void this._load(page).finally(() => {
      this._isAsking = false;
      this._changed.emit();
      if (this._error === null) {
        this._fetch();
      }
    });
  }

  private async _load(page: number): Promise<void> {
    const filter = this._filter;
    const version = this._version;
    const began = performance.now();
    try {
      const { rows, total } = await (filter.cell === null ? this._page(filter, page) : this._cell(filter.cell));
      if (filter !== this._filter) {
        return;
      }
      if (filter !== this._shown) {
        this._pages.clear();
        this._versions.clear();
        this._shown = filter;
      }
      this._total = total;
      this._pages.set(page, rows);
      this._versions.set(page, version);
      this._error = null;
      if (filter.cell === null && version !== this._modelsVersion) {
        this._changed.emit(); // the first page does not wait for the models
        this._models = await this._ask('models', {});
        this._modelsVersion = version;
      }
    } catch (error) {
      this._error = error instanceof Error ? error.message : String(error);
    } finally {
      this._took = performance.now() - began;
    }
  }

  private async _page(filter: IFilter, page: number): Promise<{ rows: IRow[]; total: number }> {
    this._outcomes.clear();
    this._more = 0;
    const { text, model, sort } = filter;
    return this._ask('entries', {
      text: text || null,
      model,
      sort,
      descending: true,
      offset: page * PAGE,
      limit: PAGE
    });
  }

  private async _cell(cell: string): Promise<{ rows: IRow[]; total: number }> {
    const { entries, total } = await this._ask('cell', { cell });
    const rows = entries.map(entry => entry.row ?? unknown(entry.id));
    this._outcomes = new Map(entries.map(entry => [entry.id, entry]));
    this._more = total - entries.length;
    return { rows, total: rows.length };
  }

  private _filter: IFilter = ALL;
  private _shown: IFilter = ALL;
  private _total: number | null = null;
  private _models: [string, number][] = [];
  private _modelsVersion = 0;
  private _error: string | null = null;
  private _isAsking = false;
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _took = 0;
  private _first = 0;
  private _last = PAGE - 1;
  private _version = 1;
  private _more = 0;
  private _outcomes = new Map<string, ICellEntry>();
  private readonly _pages = new Map<number, IRow[]>();
  private readonly _versions = new Map<number, number>();
  private readonly _changed = new Signal<this, void>(this);
}

/** The row of calls of which no more is known than that they were. */
function unknown(id: string): IRow {
  return {
    id,
    prompt: '',
    answer: '',
    model: null,
    cell: null,
    label: null,
    stored: null,
    last_used: null,
    took: null,
    tokens: null,
    hits: 0
  };
}
