import { useLayoutEffect, useRef, useState } from 'react';

import { number, outcome, seconds } from '../format';
import type { IRow } from '../protocol';
import { said } from './context';
import type { IPanelContext } from './context';
import type { Listing } from './listing';

export const ROW_HEIGHT = 58;
const MARGIN = 8;
// A browser's page has an end: Firefox stops at 17.8 million pixels
const MAX_ROWS = Math.floor(17_000_000 / ROW_HEIGHT);

export interface IListProps {
  context: IPanelContext;
  listing: Listing;
  chosen: string | null;
  choose: (row: IRow | null) => void;
  remove: (row: IRow) => void;
}

/** The entries as a list of which only what is seen is there. One tab stop; arrows choose. */
export function List({ context, listing, chosen, choose, remove }: IListProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const { trans } = context;
  const total = Math.min(listing.total ?? 0, MAX_ROWS);
  const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - MARGIN);
  const last = Math.min(total - 1, Math.ceil((top + height) / ROW_HEIGHT) + MARGIN);
  const at = chosen === null ? -1 : listing.indexOf(chosen);

  useLayoutEffect(() => {
    const node = box.current;
    if (node === null) {
      return;
    }
    const observer = new ResizeObserver(() => setHeight(node.clientHeight || 600));
    observer.observe(node);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => listing.look(first, Math.max(first, last)), [listing, first, last]);
  useLayoutEffect(() => {
    box.current?.scrollTo({ top: 0 });
  }, [listing.filter]);

  const chooseAt = (index: number): void => {
    const node = box.current;
    const row = listing.row(index);
    if (node === null || index < 0 || index >= total) {
      return;
    }
    if (index * ROW_HEIGHT < node.scrollTop) {
      node.scrollTop = index * ROW_HEIGHT;
    } else if ((index + 1) * ROW_HEIGHT > node.scrollTop + node.clientHeight) {
      node.scrollTop = (index + 1) * ROW_HEIGHT - node.clientHeight;
    }
    if (row) {
      choose(row);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(height / ROW_HEIGHT) - 1);
    const target: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: Math.max(0, at - 1),
      PageDown: Math.min(total - 1, Math.max(at, 0) + page),
      PageUp: Math.max(0, at - page),
      Home: 0,
      End: total - 1
    };
    const row = at < 0 ? undefined : listing.row(at);
    if (event.key in target) {
      event.preventDefault();
      chooseAt(target[event.key]);
    } else if (event.key === 'Escape') {
      choose(null);
    } else if (event.key === 'Delete' && row && row.stored !== null) {
      remove(row);
    }
  };

  const rows: JSX.Element[] = [];
  for (let index = first; index <= last; index++) {
    const row = listing.row(index);
    rows.push(
      <div
        key={row?.id ?? index}
        id={row && `llmcache-row-${row.id}`}
        role="option"
        aria-selected={row !== undefined && row.id === chosen}
        aria-posinset={index + 1}
        aria-setsize={total}
        className="llmcache-Row"
        style={{ top: index * ROW_HEIGHT, height: ROW_HEIGHT }}
        onClick={() => chooseAt(index)}
      >
        {row && <RowContent row={row} listing={listing} context={context} />}
      </div>
    );
  }
  const all = total * ROW_HEIGHT;
  // what is chosen is shown below, and has the height that a short list leaves
  const size = chosen === null ? undefined : { minHeight: Math.min(all + 1, 120), maxHeight: all + 1 };
  return (
    <div
      ref={box}
      className="llmcache-List"
      style={size}
      role="listbox"
      tabIndex={0}
      aria-label={trans.__('Entries')}
      aria-activedescendant={at >= first && at <= last ? `llmcache-row-${chosen}` : undefined}
      onScroll={event => setTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
    >
      <div className="llmcache-List-all" style={{ height: all }}>
        {rows}
      </div>
    </div>
  );
}

function RowContent({ row, listing, context }: { row: IRow; listing: Listing; context: IPanelContext }): JSX.Element {
  const { trans } = context;
  const led = listing.outcome(row.id);
  const facts = [
    row.label,
    led ? outcome(led, trans) : row.hits > 0 ? trans._n('%2 hit', '%2 hits', row.hits, number(row.hits)) : null,
    row.model,
    row.took === null ? null : seconds(row.took)
  ];
  return (
    <>
      <bdi className="llmcache-Row-prompt">{said(row, context)}</bdi>
      <bdi className="llmcache-Row-answer">{row.stored === null ? trans.__('(not in the cache)') : row.answer}</bdi>
      <span className="llmcache-Row-facts">{facts.filter(fact => fact).join(' · ')}</span>
    </>
  );
}
