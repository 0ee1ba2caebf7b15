import type { Cell, CodeCell, ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { PanelLayout } from '@lumino/widgets';

import { Badge } from './badge';
import { read, remove, write } from './cellcounts';
import type { KernelCache } from './kernel';
import type { ICellCounts, IState } from './protocol';
import type { ICaches, IPanel, ISettings } from './tokens';

export interface IBadgesOptions {
  tracker: INotebookTracker;
  caches: ICaches;
  settings: ISettings;
  panel: IPanel | null;
  trans: TranslationBundle;
}

/** Keeps a badge at each cell of each notebook that made model calls. */
export class Badges {
  constructor(private readonly _options: IBadgesOptions) {
    const { tracker, caches, settings } = _options;
    tracker.forEach(notebook => this._add(notebook));
    tracker.widgetAdded.connect((_, notebook) => this._add(notebook));
    caches.anyChanged.connect((_, cache) => {
      if (this._shown.get(cache) === cache.state) {
        return; // only the kernel's status changed
      }
      this._shown.set(cache, cache.state);
      tracker.forEach(notebook => {
        if (caches.of(notebook) === cache) {
          this._show(notebook);
        }
      });
    });
    settings.changed.connect(() => tracker.forEach(notebook => this._show(notebook)));
  }

  private _add(notebook: NotebookPanel): void {
    const update = (): void => this._show(notebook);
    void notebook.context.ready.then(() => {
      if (!notebook.isDisposed) {
        notebook.content.model?.cells.changed.connect(update);
        update();
      }
    });
  }

  private _show(notebook: NotebookPanel): void {
    const state = this._options.caches.of(notebook)?.state;
    for (const cell of notebook.content.widgets) {
      if (cell.model.type === 'code') {
        this._of(cell as CodeCell).show(state?.cells[cell.model.id] ?? null);
      }
    }
  }

  private _of(cell: CodeCell): CellBadge {
    let badge = this._badges.get(cell);
    if (badge === undefined) {
      badge = new CellBadge(cell, this._options);
      this._badges.set(cell, badge);
    }
    return badge;
  }

  private readonly _badges = new WeakMap<Cell, CellBadge>();
  private readonly _shown = new WeakMap<KernelCache, IState | null>();
}

/** A cell and its badge, if it has one: from what the kernel tells, or from what was saved. */
class CellBadge {
  constructor(
    private readonly _cell: CodeCell,
    private readonly _options: IBadgesOptions
  ) {
    const model = _cell.model;
    model.stateChanged.connect(this._onState, this);
    _cell.disposed.connect(() => {
      model.stateChanged.disconnect(this._onState, this);
      this._badge?.dispose();
    });
  }

  /** The counts that the kernel tells, or null where it tells none. */
  show(told: ICellCounts | null): void {
    this._told = told;
    if (told === null) {
      this._cleared = null;
      this._counts = this._model.executionCount === null ? null : read(this._model);
    } else if (this._isOfThisRun(told)) {
      this._counts = told;
      if (this._options.settings.saveCounts) {
        write(this._model, told);
      }
    }
    this._draw();
  }

  private _onState(_: unknown, { name }: { name: string }): void {
    const { executionCount, executionState } = this._model;
    if (name === 'executionState' ? executionState === 'running' : name === 'executionCount' && executionCount === null) {
      this._clear();
    } else if (name === 'executionCount') {
      this.show(this._told);
    } else if (name === 'isDirty') {
      this._draw();
    }
  }

  /** The cell runs again, or its outputs were cleared. */
  private _clear(): void {
    this._cleared = this._told?.label ?? null;
    this._counts = null;
    remove(this._model);
    this._draw();
  }

  /** Not of an earlier run, which the kernel may tell of until this one begins, or whose outputs were cleared. */
  private _isOfThisRun({ label }: ICellCounts): boolean {
    const { executionCount, executionState } = this._model;
    return executionCount === null
      ? executionState !== 'idle' && label !== this._cleared
      : label === `[${executionCount}]`;
  }

  private get _model(): ICodeCellModel {
    return this._cell.model;
  }

  private _draw(): void {
    if (this._counts === null || !this._options.settings.badges) {
      this._badge?.dispose();
      this._badge = null;
      return;
    }
    const isStale = this._model.isDirty && this._model.executionCount !== null;
    this._badge ??= this._newBadge();
    this._badge.showCounts(this._counts, isStale);
    void this._cell.ready.then(() => this._place());
  }

  private _newBadge(): Badge {
    const { caches, panel, tracker, trans } = this._options;
    const id = this._model.id;
    return new Badge({
      trans,
      open: () => panel?.showCell(id),
      entries: async () => {
        const notebook = tracker.find(one => one.content.widgets.includes(this._cell));
        const cache = notebook && caches.of(notebook);
        if (!cache?.state) {
          throw new Error(trans.__('The kernel that made these calls is gone.'));
        }
        return cache.ask('cell', { cell: id });
      }
    });
  }

  private _place(): void {
    const layout = this._cell.layout as PanelLayout | null;
    if (this._badge === null || this._badge.parent !== null || layout === null || this._cell.isDisposed) {
      return;
    }
    const input = layout.widgets.findIndex(widget => widget.hasClass('jp-Cell-inputWrapper'));
    if (input >= 0) {
      layout.insertWidget(input + 1, this._badge);
    }
  }

  private _told: ICellCounts | null = null;
  private _counts: ICellCounts | null = null;
  /** The label of the run that was cleared. */
  private _cleared: string | null = null;
  private _badge: Badge | null = null;
}
