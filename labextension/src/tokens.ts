import type { ISessionContext } from '@jupyterlab/apputils';
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { KernelCache } from './kernel';

/** A notebook or a console: something with a kernel. */
export type Document = Widget & { readonly sessionContext: ISessionContext };

/** The caches of the kernels on this page, and the one that the user is with. */
export interface ICaches {
  /** The notebook or console that is or was last active, or null. */
  readonly document: Document | null;
  /** The cache of its kernel, or null where it has no kernel that can tell of one. */
  readonly current: KernelCache | null;
  /** The document or something of its cache changed. */
  readonly changed: ISignal<ICaches, void>;
  /** Some cache changed, the current one or another. */
  readonly anyChanged: ISignal<ICaches, KernelCache>;
  /** The cache of a document's kernel. */
  of(document: Document): KernelCache | null;
}

export const ICaches = new Token<ICaches>(
  'llmcache-jupyter:ICaches',
  'The LLM caches of the kernels on this page, and the one that the user is with.'
);

/** The panel, for those who want something shown in it. */
export interface IPanel {
  /** Bring the panel to the front. */
  open(): void;
  /** Show what a cell's calls were, in the panel. */
  showCell(cell: string): void;
  /** Show why the last call that missed was not a hit. Rejects with what is in the way. */
  showWhy(): Promise<void>;
}

export const IPanel = new Token<IPanel>('llmcache-jupyter:IPanel', 'The side panel of the LLM cache.');

/** The user's settings. */
export interface ISettings {
  readonly badges: boolean;
  readonly saveCounts: boolean;
  readonly markdown: boolean;
  readonly changed: ISignal<ISettings, void>;
}

export const ISettings = new Token<ISettings>('llmcache-jupyter:ISettings', 'The settings of the LLM cache.');
