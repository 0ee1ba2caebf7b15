import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Ask, IRow } from '../protocol';
import type { ISettings } from '../tokens';

/** What was asked, on one line. */
export function said(row: IRow, { trans }: IPanelContext): string {
  return row.prompt || row.stored !== null ? row.prompt : trans.__('(no longer known)');
}

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
