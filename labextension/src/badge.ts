import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { badge as said, outcome } from './format';
import type { ICellCounts, ICellEntry } from './protocol';

/** What a badge needs of what is around it. */
export interface IBadgeOptions {
  trans: TranslationBundle;
  /** Open the entries in the panel. */
  open: () => void;
  /** Which entries the cell's calls were for. */
  entries: () => Promise<{ entries: ICellEntry[]; total: number }>;
}

// Short enough to be there when it is looked for, long enough not to ask the kernel about each badge passed over
const HOVER_MS = 250;
const SHOWN = 6;

let count = 0;

/**
 * One line below a cell's input: what became of its model calls.
 *
 * - A hit-only cell looks calm, a miss is noticeable, an error is clear.
 * - Hovering or focusing it lists the entries, a click opens them.
 */
export class Badge extends Widget {
  constructor(private readonly _options: IBadgeOptions) {
    super();
    this.addClass('llmcache-Badge');
    this._button.type = 'button';
    this._list.className = 'llmcache-Badge-list';
    this._list.setAttribute('role', 'tooltip');
    this._list.id = `llmcache-badge-${++count}`;
    this._list.hidden = true;
    this._button.setAttribute('aria-describedby', this._list.id);
    this.node.append(this._button, this._list);
    this._button.addEventListener('click', () => _options.open());
    this.node.addEventListener('mouseenter', () => this._showSoon());
    this.node.addEventListener('mouseleave', () => this._hide());
    this._button.addEventListener('focus', () => this._showSoon());
    this._button.addEventListener('blur', () => this._hide());
    this._button.addEventListener('keydown', event => {
      if (event.key === 'Escape' && !this._list.hidden) {
        event.stopPropagation();
        this._hide();
      }
      if (event.key === 'Enter' || event.key === ' ') {
        event.stopPropagation(); // the notebook would edit the cell
      }
    });
  }

  /** Show these counts. `isStale`: the cell was edited since. */
  showCounts(counts: ICellCounts, isStale: boolean): void {
    const { trans } = this._options;
    const kind = counts.failed > 0 ? 'failed' : counts.misses > 0 ? 'miss' : 'hit';
    const text = said(counts, trans);
    const label = isStale ? trans.__('%1 · before the edit', text) : text;
    if (this._button.textContent !== label) {
      this._button.textContent = label;
      this._button.setAttribute('aria-label', trans.__('LLM cache: %1. Show the entries.', label));
    }
    this.node.dataset.kind = kind;
    this.node.classList.toggle('llmcache-mod-stale', isStale);
  }

  dispose(): void {
    this._hide();
    super.dispose();
  }

  private _showSoon(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._show(), HOVER_MS);
  }

  private _hide(): void {
    window.clearTimeout(this._timer);
    this._timer = 0; // what was asked for is not shown when it comes
    this._list.hidden = true;
  }

  private async _show(): Promise<void> {
    const timer = this._timer;
    let lines: HTMLElement[];
    try {
      const { entries, total } = await this._options.entries();
      lines = entries.slice(0, SHOWN).map(entry => this._line(entry));
      if (total > SHOWN) {
        lines.push(this._text(this._options.trans.__('… and %1 more', total - SHOWN)));
      }
    } catch (error) {
      lines = [this._text(error instanceof Error ? error.message : String(error))];
    }
    if (timer === this._timer && !this.isDisposed && lines.length > 0) {
      this._list.replaceChildren(...lines);
      this._list.hidden = false;
    }
  }

  private _line(entry: ICellEntry): HTMLElement {
    const { trans } = this._options;
    const line = this._text(entry.row?.prompt ?? trans.__('(not in the cache)'));
    const what = document.createElement('span');
    what.className = 'llmcache-Badge-outcome';
    what.textContent = outcome(entry, trans);
    line.prepend(what);
    return line;
  }

  private _text(text: string): HTMLElement {
    const line = document.createElement('div');
    const content = document.createElement('bdi');
    content.textContent = text;
    line.append(content);
    return line;
  }

  private readonly _button = document.createElement('button');
  private readonly _list = document.createElement('div');
  private _timer = 0;
}
