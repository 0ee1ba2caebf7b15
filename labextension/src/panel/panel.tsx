import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';

import type { KernelCache } from '../kernel';
import type { IRow } from '../protocol';
import type { Document, ICaches, ISettings } from '../tokens';
import type { IPanelContext } from './context';
import type * as Entries from './entries';
import { Fault } from './fault';
import type { Listing } from './listing';
import { Notice } from './notice';

export interface IPanelOptions {
  caches: ICaches;
  settings: ISettings;
  rendermime: IRenderMimeRegistry | null;
  trans: TranslationBundle;
  /** Loads the extension into the document's kernel and switches it on. Rejects with what is in the way. */
  load: (document: Document) => Promise<void>;
}

/** The side panel: the cache of the kernel of the notebook or console that the user is with. */
export class PanelWidget extends ReactWidget {
  constructor(private readonly _options: IPanelOptions) {
    super();
    this.addClass('llmcache-Panel');
    _options.caches.changed.connect(this._changed, this);
    _options.settings.changed.connect(this._changed, this);
  }

  /** List what a cell's calls were for. */
  async showCell(cell: string): Promise<void> {
    const cache = this._options.caches.current;
    const entries = (this._entries ??= await import('./entries'));
    if (cache) {
      this._listing(entries, cache).show({ cell, text: '', model: null });
      this.update();
    }
  }

  /** Show why the last call that missed was not a hit. Rejects with a QueryError. */
  async showWhy(): Promise<void> {
    const cache = this._options.caches.current;
    const row = cache && (await cache.ask('missed', {}));
    if (row && row.cell !== null) {
      await this.showCell(row.cell);
    }
    this._asked = cache && row && { cache, row };
    this._tell(row ? '' : this._options.trans.__('No call has missed yet.'));
  }

  protected onAfterShow(): void {
    this.update();
  }

  protected render(): JSX.Element {
    return (
      <>
        <Fault
          key={this._options.caches.current?.kernel.id}
          trans={this._options.trans}
          render={() => this._content()}
          retry={() => this._startAnew()}
        />
        <div className={`llmcache-Message${this._isError ? ' llmcache-mod-error' : ''}`} role="status">
          {this._message}
        </div>
      </>
    );
  }

  private _content(): JSX.Element {
    const { caches, trans } = this._options;
    const { document, current } = caches;
    if (document === null) {
      return <Notice text={trans.__('No notebook or console is open.')} />;
    }
    const name = document.title.label;
    const kernel = document.sessionContext.session?.kernel;
    if (!kernel || kernel.status === 'dead' || kernel.status === 'terminating') {
      return <Notice text={trans.__('%1 has no running kernel.', name)} />;
    }
    if (current?.problem) {
      return <Notice text={current.problem} />;
    }
    if (!current?.state) {
      const isStarting = ['starting', 'restarting', 'autorestarting'].includes(kernel.status);
      if (isStarting) {
        return <Notice text={trans.__('The kernel of %1 is starting.', name)} />;
      }
      if (current?.isUnknown) {
        return <Notice text={trans.__('The kernel of %1 is busy. It tells of its cache when its cell ends.', name)} />;
      }
      return (
        <Notice text={trans.__('The kernel of %1 has no LLM cache.', name)}>
          <button type="button" className="llmcache-mod-accept" onClick={() => void this._load(document)}>
            {trans.__('Load and turn on')}
          </button>
        </Notice>
      );
    }
    const entries = this._entries;
    if (this._notLoaded !== null) {
      throw this._notLoaded;
    }
    if (entries === null) {
      void this._loadEntries();
      return <></>;
    }
    return (
      <entries.Body
        key={current.kernel.id}
        context={this._context(current)}
        cache={current}
        state={current.state}
        listing={this._listing(entries, current)}
        name={name}
        asked={this._asked?.cache === current ? this._asked.row : null}
        onAsked={this._onAsked}
        confirm={(question, action) => this._confirm(question, action)}
      />
    );
  }

  private async _loadEntries(): Promise<void> {
    try {
      this._entries = await import('./entries');
    } catch (error) {
      this._notLoaded = error instanceof Error ? error : new Error(String(error));
    }
    this.update();
  }

  /** Keep nothing that may have led to a fault. */
  private _startAnew(): void {
    const { current } = this._options.caches;
    if (current !== null) {
      this._listings.delete(current);
    }
    this._notLoaded = null;
  }

  private _changed(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  private async _load(document: Document): Promise<void> {
    try {
      this._tell(this._options.trans.__('Loading …'));
      await this._options.load(document);
      this._tell('');
    } catch (error) {
      this._tell(error instanceof Error ? error.message : String(error), true);
    }
  }

  private async _confirm(question: string, action: string): Promise<boolean> {
    const { trans } = this._options;
    const buttons = [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: action })];
    const { button } = await showDialog({ title: trans.__('LLM cache'), body: question, buttons, defaultButton: 0 });
    return button.accept;
  }

  private _tell(text: string, isError = false): void {
    this._message = text;
    this._isError = isError;
    this.update();
  }

  private _listing(entries: typeof Entries, cache: KernelCache): Listing {
    let listing = this._listings.get(cache);
    if (listing === undefined) {
      listing = new entries.Listing(cache.ask);
      this._listings.set(cache, listing);
    }
    return listing;
  }

  private _context(cache: KernelCache): IPanelContext {
    let context = this._contexts.get(cache);
    if (context === undefined) {
      const { rendermime, settings, trans } = this._options;
      context = {
        rendermime,
        settings,
        trans,
        ask: cache.ask,
        tell: (text, isError) => this._tell(text, isError),
        goToCell: cell => goToCell(this._options.caches.document, cell)
      };
      this._contexts.set(cache, context);
    }
    return context;
  }

  private _entries: typeof Entries | null = null;
  private _notLoaded: Error | null = null;
  private _asked: { cache: KernelCache; row: IRow } | null = null;
  private readonly _onAsked = (): void => {
    this._asked = null;
  };
  private _message = '';
  private _isError = false;
  private readonly _listings = new WeakMap<KernelCache, Listing>();
  private readonly _contexts = new WeakMap<KernelCache, IPanelContext>();
}

function goToCell(document: Document | null, id: string): boolean {
  const notebook = (document as NotebookPanel | null)?.content;
  const index = notebook?.widgets?.findIndex(cell => cell.model.id === id) ?? -1;
  if (!notebook || index < 0) {
    return false;
  }
  notebook.activeCellIndex = index;
  notebook.deselectAll();
  void notebook.scrollToItem(index, 'smart');
  notebook.node.focus();
  return true;
}
