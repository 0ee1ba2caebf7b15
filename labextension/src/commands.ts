import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { clearQuestion } from './format';
import type { KernelCache } from './kernel';
import { load } from './loading';
import type { Mode } from './protocol';
import type { ICaches, IPanel } from './tokens';

export const IDS = {
  open: 'llmcache:open-panel',
  toggle: 'llmcache:toggle',
  clear: 'llmcache:clear',
  why: 'llmcache:why',
  refresh: 'llmcache:run-cell-without-cache',
  replay: 'llmcache:run-all-in-replay'
} as const;

export interface ICommandsOptions {
  commands: JupyterFrontEnd['commands'];
  caches: ICaches;
  tracker: INotebookTracker | null;
  panel: IPanel | null;
  trans: TranslationBundle;
}

/** Adds the commands. What they change is the kernel; into a notebook they write nothing. */
export function addCommands({ commands, caches, tracker, panel, trans }: ICommandsOptions): void {
  const isLoaded = (): boolean => !!caches.current?.state;
  const isOn = (): boolean => !!caches.current?.state?.active;
  const notebookCache = (): KernelCache | null => {
    const notebook = tracker?.currentWidget;
    return (notebook && caches.of(notebook)) || null;
  };
  const hasNotebook = (): boolean => !!notebookCache()?.state?.active;
  const add = (id: string, label: string, options: Parameters<typeof commands.addCommand>[1]): void => {
    const execute: typeof options.execute = async args => {
      try {
        return await options.execute(args);
      } catch (error) {
        await showErrorMessage(label, error instanceof Error ? error : String(error));
      }
    };
    commands.addCommand(id, { label, describedBy: { args: {} }, ...options, execute });
  };

  add(IDS.open, trans.__('Show the LLM Cache Panel'), { execute: () => panel?.open(), isEnabled: () => panel !== null });
  add(IDS.toggle, trans.__('Turn the LLM Cache On or Off'), {
    isEnabled: () => caches.document !== null,
    isToggled: isOn,
    execute: async () => {
      const { current, document } = caches;
      if (current?.state) {
        await current.ask('switch', { active: !current.state.active, mode: null });
      } else if (document) {
        await load(document, trans);
      }
    }
  });
  add(IDS.clear, trans.__('Clear the LLM Cache …'), {
    isEnabled: isLoaded,
    execute: async () => {
      const cache = caches.current;
      const state = cache?.state;
      if (!state) {
        return;
      }
      const { button } = await showDialog({
        title: trans.__('LLM cache'),
        body: clearQuestion(state, trans),
        buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: trans.__('Remove') })],
        defaultButton: 0
      });
      if (button.accept) {
        await cache.ask('clear', { shared: state.shared });
      }
    }
  });
  add(IDS.why, trans.__('Show Why the Last Call Missed the LLM Cache'), {
    isEnabled: () => panel !== null && isLoaded(),
    execute: () => panel?.showWhy()
  });
  add(IDS.refresh, trans.__('Run This Cell Without the LLM Cache'), {
    isEnabled: hasNotebook,
    isVisible: hasNotebook,
    execute: async () => {
      const cell = tracker?.activeCell?.model.id;
      if (cell !== undefined) {
        await notebookCache()?.ask('plan', { cell, mode: 'refresh' });
        await commands.execute('notebook:run-cell');
      }
    }
  });
  add(IDS.replay, trans.__('Run All Cells in Replay of the LLM Cache'), {
    isEnabled: hasNotebook,
    execute: async () => {
      const cache = notebookCache();
      const before: Mode = cache?.state?.mode ?? 'on';
      await cache?.ask('switch', { active: true, mode: 'replay' });
      try {
        await commands.execute('notebook:run-all-cells');
      } finally {
        const now = await cache?.ask('state', {}); // what was pushed may be older
        if (now?.state.mode === 'replay') {
          await cache?.ask('switch', { active: now.state.active, mode: now.state.active ? before : null });
        }
      }
    }
  });
  caches.changed.connect(() => commands.notifyCommandChanged(IDS.toggle));
}
