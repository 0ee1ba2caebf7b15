/** A cell's counts in its metadata, so that its badge is there again when the notebook is. Counts, nothing else. */
import type { ICellCounts } from './protocol';

export const KEY = 'llmcache';

/** What of a cell's model is used here. */
export interface IMetadata {
  getMetadata(key: string): unknown;
  setMetadata(key: string, value: unknown): void;
  deleteMetadata(key: string): void;
}

/** The counts as they are saved: what is 0 or unknown is left out. */
export function write(model: IMetadata, counts: ICellCounts): void {
  const saved: Record<string, number> = {};
  for (const name of ['hits', 'misses', 'failed'] as const) {
    if (counts[name] > 0) {
      saved[name] = counts[name];
    }
  }
  if (counts.seconds_saved !== null) {
    saved.seconds_saved = Math.round(100 * counts.seconds_saved) / 100;
  }
  if (JSON.stringify(model.getMetadata(KEY)) !== JSON.stringify(saved)) {
    model.setMetadata(KEY, saved);
  }
}

/** The saved counts, or null. A notebook is a file that anyone may have written: what is no count is none. */
export function read(model: IMetadata): ICellCounts | null {
  const saved = model.getMetadata(KEY);
  if (typeof saved !== 'object' || saved === null) {
    return null;
  }
  const fields = saved as Record<string, unknown>;
  const figure = (name: string): number | null => {
    const value = fields[name];
    return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
  };
  const whole = (name: string): number => Math.floor(figure(name) ?? 0);
  const counts = {
    label: '',
    hits: whole('hits'),
    misses: whole('misses'),
    failed: whole('failed'),
    seconds_saved: figure('seconds_saved')
  };
  return counts.hits + counts.misses + counts.failed > 0 ? counts : null;
}

/** Leave nothing. */
export function remove(model: IMetadata): void {
  if (model.getMetadata(KEY) !== undefined) {
    model.deleteMetadata(KEY);
  }
}
