/** React on a page: what is drawn there, and what the user does with it. */
import { act } from 'react';
import { createRoot } from 'react-dom/client';

export interface IDrawn {
  host: HTMLElement;
  /** Draws this, and lets everything happen that is due. */
  draw: (element: JSX.Element) => Promise<void>;
  /** Presses the button of this name. */
  press: (name: string) => Promise<void>;
}

(globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;

export function drawn(): IDrawn {
  const host = document.createElement('div');
  const root = createRoot(host);
  return {
    host,
    draw: element => act(async () => root.render(element)),
    press: name =>
      act(async () => {
        const found = [...host.querySelectorAll('button')].find(button => button.textContent === name);
        if (found === undefined) {
          throw new Error(`There is no button ${name}: ${host.innerHTML}`);
        }
        found.click();
      })
  };
}
