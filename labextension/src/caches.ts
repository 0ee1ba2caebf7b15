import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import { KernelCache } from './kernel';
import type { Connection } from './kernel';
import type { Document, ICaches } from './tokens';

/** What of JupyterLab's notebook and console trackers is used here. */
export interface ITracker {
  readonly currentWidget: Document | null;
  readonly currentChanged: ISignal<object, Document | null>;
  readonly widgetAdded: ISignal<object, Document>;
  forEach(each: (document: Document) => void): void;
  has(widget: Widget): boolean;
}

type Shell = Pick<JupyterFrontEnd.IShell, 'currentWidget' | 'currentChanged'>;

/** Follows the notebooks and consoles, their kernels, and which of them the user is with. */
export class Caches implements ICaches {
  constructor(
    private readonly _shell: Shell,
    private readonly _trackers: ITracker[]
  ) {
    for (const tracker of _trackers) {
      tracker.forEach(document => this._add(document));
      tracker.widgetAdded.connect((_, document) => this._add(document));
      tracker.currentChanged.connect((_, document) => this._choose(document));
    }
    _shell.currentChanged?.connect(() => this._choose(_shell.currentWidget));
    this._choose(_shell.currentWidget);
  }

  get document(): Document | null {
    return this._document;
  }

  get current(): KernelCache | null {
    return this._document === null ? null : this.of(this._document);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get anyChanged(): ISignal<this, KernelCache> {
    return this._anyChanged;
  }

  of(document: Document): KernelCache | null {
    const kernel = document.sessionContext.session?.kernel;
    return kernel ? (this._caches.get(kernel.id) ?? null) : null;
  }

  private _add(document: Document): void {
    const context: ISessionContext = document.sessionContext;
    const attach = (): void => {
      const kernel = context.session?.kernel;
      if (kernel) {
        this._attach(kernel);
      }
      if (document === this._document) {
        this._changed.emit();
      }
    };
    context.kernelChanged.connect(attach);
    document.disposed.connect(() => {
      if (document === this._document) {
        this._document = null;
        this._choose(this._shell.currentWidget);
      }
    });
    attach();
    this._choose(this._shell.currentWidget);
  }

  /** One connection for a kernel has its comms: the first; documents that share the kernel share the cache. */
  private _attach(kernel: Connection & { readonly handleComms: boolean }): void {
    if (this._caches.has(kernel.id) || !kernel.handleComms) {
      return;
    }
    const cache = new KernelCache(kernel);
    this._caches.set(kernel.id, cache);
    cache.changed.connect(() => {
      this._anyChanged.emit(cache);
      if (cache === this.current) {
        this._changed.emit();
      }
    });
    kernel.disposed.connect(() => {
      this._caches.delete(kernel.id);
      cache.dispose();
    });
  }

  private _choose(widget: Widget | null): void {
    const isOurs = widget !== null && this._trackers.some(tracker => tracker.has(widget));
    const last = this._trackers.map(tracker => tracker.currentWidget).find(document => document !== null);
    const document = isOurs ? (widget as Document) : (this._document ?? last ?? null);
    if (document !== this._document) {
      this._document = document;
      this._changed.emit();
    }
  }

  private _document: Document | null = null;
  private readonly _caches = new Map<string, KernelCache>();
  private readonly _changed = new Signal<this, void>(this);
  private readonly _anyChanged = new Signal<this, KernelCache>(this);
}
