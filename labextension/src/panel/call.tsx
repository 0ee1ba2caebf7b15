import type { IRow } from '../protocol';
import { said } from './context';
import type { IPanelContext } from './context';
import { Frame } from './frame';
import { Why } from './why';

export interface ICallProps {
  context: IPanelContext;
  row: IRow;
  missed: boolean;
  close: () => void;
  /** Shows the entry with this id. */
  show: (entry: string) => void;
}

/** A call that has no entry: what was asked, and why that missed. */
export function Call({ context, row, missed, close, show }: ICallProps): JSX.Element {
  const { trans } = context;
  return (
    <Frame
      key={row.id}
      context={context}
      row={row}
      label={trans.__('Chosen call')}
      closing={trans.__('Close the call')}
      close={close}
    >
      {missed ? (
        <Why context={context} call={row.id} show={show} />
      ) : (
        <div className="llmcache-Text">
          <pre dir="auto">{said(row, context)}</pre>
        </div>
      )}
      {row.stored === null && <p className="llmcache-mod-muted">{trans.__('Its answer is not in the cache.')}</p>}
    </Frame>
  );
}
