import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Ask } from '../protocol';
import type { ISettings } from '../tokens';

/** What the parts of the panel share. */
export interface IPanelContext {
  trans: TranslationBundle;
  rendermime: IRenderMimeRegistry | null;
  settings: ISettings;
  /** Scrolls to a cell; false where the notebook has none such. */
  goToCell: (cell: string) => boolean;
  /** Tells the user, and a screen reader, a sentence. */
  tell: (text: string, isError?: boolean) => void;
  ask: Ask;
}
