/** Figures as people read them: unknown is a dash, never 0. The twin of llmcache_jupyter/views/format.py. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ICellCounts, IOutcome, IState, Mode } from './protocol';

export const UNKNOWN = '\u2013';

/** A duration: `0.24 ms`, `30 ms`, `0.8 s`, `42 s`, `12 min`, `3.5 h`, `2.1 d`. */
export function seconds(value: number | null): string {
  if (value === null) {
    return UNKNOWN;
  }
  const units: [string, number][] = [
    ['d', 86400],
    ['h', 3600],
    ['min', 60]
  ];
  for (const [unit, size] of units) {
    if (value >= 2 * size) {
      return `${Number((value / size).toPrecision(3))} ${unit}`;
    }
  }
  if (value > 0 && value < 0.05) {
    return `${(value * 1000).toFixed(value < 0.001 ? 2 : 0)} ms`;
  }
  return `${value.toFixed(value >= 10 ? 0 : 1)} s`;
}

/** A whole number with thin thousands: `12 500`. */
export function number(value: number | null): string {
  return value === null ? UNKNOWN : String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** Hits among the calls that could be hits: `75 %`, `100 %` only if all are; empty before the first. */
export function rate(hits: number, misses: number): string {
  if (hits + misses === 0) {
    return '';
  }
  const percent = Math.round((100 * hits) / (hits + misses));
  return `${hits && misses ? Math.min(Math.max(percent, 1), 99) : percent} %`;
}

/** A moment in local time: `2026-03-01 14:05`; today's without the date. */
export function moment(at: number | null, now: Date = new Date()): string {
  if (at === null) {
    return UNKNOWN;
  }
  const date = new Date(1000 * at);
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (date.toDateString() === now.toDateString()) {
    return time;
  }
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

export function entries(count: number, trans: TranslationBundle): string {
  return trans._n('%2 entry', '%2 entries', count, number(count));
}

/** What calls led to: `2 hits · 1 miss · 1 failed`. */
export function outcome({ hits, misses, failed }: IOutcome, trans: TranslationBundle): string {
  const parts: string[] = [];
  if (hits > 0) {
    parts.push(trans._n('%2 hit', '%2 hits', hits, number(hits)));
  }
  if (misses > 0) {
    parts.push(trans._n('%2 miss', '%2 misses', misses, number(misses)));
  }
  if (failed > 0) {
    parts.push(trans._n('%2 failed', '%2 failed', failed, number(failed)));
  }
  return parts.join(' · ');
}

/** What a badge says: `2 hits · 1 miss · saved 3.1 s`. */
export function badge(counts: ICellCounts, trans: TranslationBundle): string {
  const saved = counts.hits > 0 && counts.seconds_saved !== null;
  const parts = [outcome(counts, trans)];
  return (saved ? [...parts, trans.__('saved %1', seconds(counts.seconds_saved))] : parts).join(' · ');
}

/** How many entries there are, of how many at most: `12/500`. */
export function filled({ entries, maxsize }: IState): string {
  return maxsize === null ? number(entries) : `${number(entries)}/${number(maxsize)}`;
}

/** What the status bar says: `LLM cache 75 % · 12/500 · refresh`. */
export function statusLine(state: IState, trans: TranslationBundle): string {
  const name = trans.__('LLM cache');
  if (!state.active) {
    return `${name} ${trans.__('off')}`;
  }
  const share = rate(state.hits, state.misses);
  const parts = [share ? `${name} ${share}` : name, filled(state)];
  if (state.mode !== 'on') {
    parts.push(state.mode);
  }
  return `${state.failing ? '⚠ ' : ''}${parts.join(' · ')}`;
}

/** What the user is asked before all entries go. */
export function clearQuestion(state: IState, trans: TranslationBundle): string {
  const all = entries(state.entries ?? 0, trans);
  return state.shared
    ? trans.__('Remove all %1? Everyone who uses %2 loses them. This cannot be undone.', all, state.store ?? '')
    : trans.__('Remove all %1? This cannot be undone.', all);
}

/** What was saved: `4 hits · 2 misses · saved 3.1 s, 340 tokens`. */
export function savings(state: IState, trans: TranslationBundle): string {
  const parts = [
    trans._n('%2 hit', '%2 hits', state.hits, number(state.hits)),
    trans._n('%2 miss', '%2 misses', state.misses, number(state.misses))
  ];
  if (state.hits > 0) {
    const saved: string[] = [];
    if (state.seconds_saved !== null) {
      saved.push(seconds(state.seconds_saved));
    }
    if (state.tokens_saved !== null) {
      saved.push(trans._n('%2 token', '%2 tokens', state.tokens_saved, number(state.tokens_saved)));
    }
    if (saved.length > 0) {
      parts.push(trans.__('saved %1', saved.join(', ')));
    }
  }
  return parts.join(' · ');
}

/** What a mode does with a call. */
export function modeMeaning(mode: Mode, trans: TranslationBundle): string {
  return {
    on: trans.__('look up and store'),
    refresh: trans.__('ask the model anew, and store'),
    readonly: trans.__('look up, store nothing'),
    replay: trans.__('look up; a miss is an error'),
    off: trans.__('let every call pass')
  }[mode];
}
