import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { savings, statusLine } from './format';
import type { ICaches } from './tokens';

/** What the status bar says of the cache of the active notebook's or console's kernel. */
export class StatusItem extends Widget {
  constructor(
    private readonly _caches: ICaches,
    private readonly _trans: TranslationBundle,
    open: () => void
  ) {
    super();
    this.addClass('llmcache-StatusItem');
    this._button.type = 'button';
    this._button.addEventListener('click', open);
    this.node.append(this._button);
    _caches.changed.connect(this._show, this);
    this._show();
  }

  /** Whether there is a cache to tell of. */
  get isActive(): boolean {
    return !!this._caches.current?.state;
  }

  private _show(): void {
    const state = this._caches.current?.state;
    if (!state) {
      return;
    }
    const line = statusLine(state, this._trans);
    if (this._button.textContent !== line) {
      this._button.textContent = line;
    }
    this._button.title = [savings(state, this._trans), ...state.notes, this._trans.__('Click to see the entries')].join(
      '\n'
    );
    this.node.classList.toggle('llmcache-mod-failing', state.failing);
    this.node.classList.toggle('llmcache-mod-off', !state.active);
  }

  private readonly _button = document.createElement('button');
}
