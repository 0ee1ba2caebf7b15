import type { TranslationBundle } from '@jupyterlab/translation';

import type { Document } from './tokens';

const LOAD = '%load_ext llmcache_jupyter\n%llmcache on';

/** Loads the extension into the document's kernel and switches it on, as the user would, without a cell. */
export async function load(document: Document, trans: TranslationBundle): Promise<void> {
  const kernel = document.sessionContext.session?.kernel;
  if (!kernel) {
    throw new Error(trans.__('There is no kernel.'));
  }
  const { language_info } = await kernel.info;
  if (language_info.name !== 'python') {
    throw new Error(trans.__('The cache is for Python kernels; this one runs %1.', language_info.name));
  }
  const { content } = await kernel.requestExecute({ code: LOAD, store_history: false, allow_stdin: false }).done;
  if (content.status !== 'error') {
    return;
  }
  throw new Error(
    content.ename === 'ModuleNotFoundError'
      ? trans.__('The kernel has no llmcache-jupyter: run `%pip install llmcache-jupyter` in a cell.')
      : `${content.ename}: ${content.evalue}`
  );
}
