import { useLayoutEffect, useRef } from 'react';

import type { IRow } from '../protocol';
import type { IPanelContext } from './context';

export interface IFrameProps {
  context: IPanelContext;
  /** What was chosen. */
  row: IRow;
  label: string;
  /** What closing it is called. */
  closing: string;
  close: () => void;
  /** What can be done, beside closing it and going to its cell. */
  actions?: React.ReactNode;
  children: React.ReactNode;
}

/**
 * The chosen row in full, below what can be done with it; for another row, another frame.
 *
 * - The focus that is in it goes back to the list when it goes.
 */
export function Frame({ context, row, label, closing, close, actions, children }: IFrameProps): JSX.Element {
  const { trans } = context;
  const box = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const frame = box.current;
    return () => {
      if (frame?.contains(document.activeElement)) {
        frame.parentElement?.querySelector<HTMLElement>('.llmcache-List')?.focus();
      }
    };
  }, []);
  const goToCell = (): void => {
    if (row.cell !== null && !context.goToCell(row.cell)) {
      context.tell(trans.__('The cell that made this call is not in this notebook.'), true);
    }
  };
  return (
    <section
      ref={box}
      className="llmcache-Detail"
      aria-label={label}
      tabIndex={-1}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          close();
        }
      }}
    >
      <div className="llmcache-Detail-actions">
        {row.cell !== null && (
          <button type="button" onClick={goToCell}>
            {trans.__('Go to cell %1', row.label ?? '')}
          </button>
        )}
        {actions}
        <button
          type="button"
          className="llmcache-Close"
          aria-label={closing}
          title={closing}
          onClick={close}
        >
          ×
        </button>
      </div>
      {children}
    </section>
  );
}
