/** The plugins, one a feature. Each works without the others where it can. */
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IConsoleTracker } from '@jupyterlab/console';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';

import { Badges } from './badges';
import { Caches } from './caches';
import type { ITracker } from './caches';
import { addCommands, IDS } from './commands';
import { cacheIcon } from './icon';
import { load } from './loading';
import { PanelWidget } from './panel/panel';
import { Settings } from './settings';
import { StatusItem } from './status';
import { ICaches, IPanel, ISettings } from './tokens';

const DOMAIN = 'llmcache_jupyter';
const PANEL_ID = 'llmcache-jupyter-panel';

function bundle(translator: ITranslator | null): TranslationBundle {
  return (translator ?? nullTranslator).load(DOMAIN);
}

const caches: JupyterFrontEndPlugin<ICaches> = {
  id: 'llmcache-jupyter:caches',
  description: "Follows the LLM caches of this page's kernels.",
  autoStart: true,
  provides: ICaches,
  optional: [INotebookTracker, IConsoleTracker],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker | null, consoles: IConsoleTracker | null) => {
    const trackers = [notebooks, consoles].filter(tracker => tracker !== null) as unknown as ITracker[];
    return new Caches(app.shell, trackers);
  }
};

const settings: JupyterFrontEndPlugin<ISettings> = {
  id: 'llmcache-jupyter:settings',
  description: 'The settings of the LLM cache.',
  autoStart: true,
  provides: ISettings,
  optional: [ISettingRegistry],
  activate: (_app: JupyterFrontEnd, registry: ISettingRegistry | null) => {
    const settings = new Settings();
    if (registry) {
      settings.follow(registry, 'llmcache-jupyter:settings').catch(console.warn);
    }
    return settings;
  }
};

const panel: JupyterFrontEndPlugin<IPanel> = {
  id: 'llmcache-jupyter:panel',
  description: "Lists the entries of the active notebook's LLM cache in a side panel.",
  autoStart: true,
  provides: IPanel,
  requires: [ICaches, ISettings],
  optional: [IRenderMimeRegistry, ITranslator, ILayoutRestorer, ILabShell],
  activate: (
    app: JupyterFrontEnd,
    caches: ICaches,
    settings: ISettings,
    rendermime: IRenderMimeRegistry | null,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    labShell: ILabShell | null
  ) => {
    const trans = bundle(translator);
    const widget = new PanelWidget({
      caches,
      settings,
      rendermime,
      trans,
      load: document => load(document, trans)
    });
    widget.id = PANEL_ID;
    widget.title.icon = cacheIcon;
    widget.title.caption = trans.__('LLM cache');
    if (labShell === null) {
      widget.title.label = trans.__('LLM cache'); // Notebook lists its panels by their labels
    }
    app.shell.add(widget, 'right', { rank: 650, type: 'LLM cache' });
    restorer?.add(widget, PANEL_ID);
    const open = (): void => {
      app.shell.activateById(PANEL_ID);
    };
    return {
      open,
      showCell: (cell: string) => {
        open();
        widget.showCell(cell).catch(console.warn);
      },
      showWhy: () => {
        open();
        return widget.showWhy();
      }
    };
  }
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'llmcache-jupyter:status',
  description: "Tells of the active notebook's LLM cache in the status bar.",
  autoStart: true,
  requires: [ICaches],
  optional: [IStatusBar, IPanel, ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    caches: ICaches,
    statusBar: IStatusBar | null,
    panel: IPanel | null,
    translator: ITranslator | null
  ) => {
    if (statusBar) {
      const item = new StatusItem(caches, bundle(translator), () => panel?.open());
      statusBar.registerStatusItem('llmcache-jupyter:status', {
        item,
        align: 'right',
        rank: 50,
        isActive: () => item.isActive,
        activeStateChanged: caches.changed as StatusItemSignal
      });
    }
  }
};

type StatusItemSignal = NonNullable<IStatusBar.IItem['activeStateChanged']>;

const badges: JupyterFrontEndPlugin<void> = {
  id: 'llmcache-jupyter:badges',
  description: 'Tells at each cell what became of its model calls.',
  autoStart: true,
  requires: [ICaches, ISettings],
  optional: [INotebookTracker, IPanel, ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    caches: ICaches,
    settings: ISettings,
    tracker: INotebookTracker | null,
    panel: IPanel | null,
    translator: ITranslator | null
  ) => {
    if (tracker) {
      new Badges({ caches, settings, tracker, panel, trans: bundle(translator) });
    }
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'llmcache-jupyter:commands',
  description: 'Commands for the LLM cache.',
  autoStart: true,
  requires: [ICaches],
  optional: [INotebookTracker, IPanel, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    caches: ICaches,
    tracker: INotebookTracker | null,
    panel: IPanel | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = bundle(translator);
    addCommands({ commands: app.commands, caches, tracker, panel, trans });
    for (const command of Object.values(IDS)) {
      palette?.addItem({ command, category: trans.__('LLM Cache') });
    }
  }
};

export default [caches, settings, panel, status, badges, commands];
export { ICaches, IPanel, ISettings } from './tokens';
