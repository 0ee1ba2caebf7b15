import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { ISettings } from './tokens';

/** The user's settings, or the defaults where JupyterLab has none. */
export class Settings implements ISettings {
  badges = true;
  saveCounts = true;
  markdown = true;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Follow the registry. */
  async follow(registry: ISettingRegistry, plugin: string): Promise<void> {
    const settings = await registry.load(plugin);
    const read = (): void => {
      this.badges = settings.get('badges').composite as boolean;
      this.saveCounts = settings.get('saveCounts').composite as boolean;
      this.markdown = settings.get('markdown').composite as boolean;
      this._changed.emit();
    };
    settings.changed.connect(read);
    read();
  }

  private readonly _changed = new Signal<this, void>(this);
}
