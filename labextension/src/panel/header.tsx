import { useEffect, useState } from 'react';

import { entries, modeMeaning, number, savings } from '../format';
import { MODES } from '../protocol';
import type { IState, Mode, SortColumn } from '../protocol';
import type { IPanelContext } from './context';
import type { Listing } from './listing';

const TYPING_MS = 200;

export interface IHeaderProps {
  context: IPanelContext;
  name: string;
  state: IState;
  switchTo: (active: boolean, mode: Mode | null) => void;
  clear: () => void;
}

/** Which cache this is, whether it is on and how, what it has saved, and what the user should know. */
export function Header({ context, name, state, switchTo, clear }: IHeaderProps): JSX.Element {
  const { trans } = context;
  const size =
    state.maxsize === null || state.entries === null
      ? entries(state.entries ?? 0, trans)
      : trans.__('%1 of %2 entries', number(state.entries), number(state.maxsize));
  return (
    <header className="llmcache-Header">
      <div className="llmcache-Header-line">
        <span className={`llmcache-Light${state.active ? ' llmcache-mod-on' : ''}`} aria-hidden="true" />
        <strong className="llmcache-Header-name" title={name}>
          {name}
        </strong>
        <select
          aria-label={trans.__('Mode')}
          title={trans.__('What happens to a call: %1', modeMeaning(state.active ? state.mode : 'off', trans))}
          value={state.active ? state.mode : 'off'}
          onChange={event => {
            const mode = event.target.value as Mode;
            switchTo(mode !== 'off', mode === 'off' ? null : mode);
          }}
        >
          {MODES.map(mode => (
            <option key={mode} value={mode} title={modeMeaning(mode, trans)}>
              {mode}
            </option>
          ))}
        </select>
        <button
          type="button"
          className="llmcache-mod-warn"
          disabled={state.entries === 0}
          title={trans.__('Remove all entries')}
          onClick={clear}
        >
          {trans.__('Clear')}
        </button>
      </div>
      <div className="llmcache-Header-figures">
        {[...(state.store ? [state.store] : []), size, ...savings(state, trans).split(' · ')].map((figure, index) => (
          <span key={index}>{figure}</span>
        ))}
      </div>
      {state.notes.map(note => (
        <div key={note} className="llmcache-Note" role="alert">
          {note}
        </div>
      ))}
    </header>
  );
}

export interface IFiltersProps {
  context: IPanelContext;
  listing: Listing;
  state: IState;
}

/** What of the entries is listed, and in which order. */
export function Filters({ context, listing, state }: IFiltersProps): JSX.Element {
  const { trans } = context;
  const filter = listing.filter;
  const [text, setText] = useState(filter.text);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (text !== listing.filter.text) {
        listing.show({ text });
      }
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [text, listing]);
  const sorts: [SortColumn, string][] = [
    ['stored', trans.__('Newest')],
    ['last_used', trans.__('Last used')],
    ['hits', trans.__('Most hits')],
    ['took', trans.__('Slowest')],
    ['tokens', trans.__('Most tokens')]
  ];
  if (filter.cell !== null) {
    return (
      <div className="llmcache-Filters">
        <span className="llmcache-Chip">{trans.__('Calls of cell %1', state.cells[filter.cell]?.label ?? '')}</span>
        <button type="button" onClick={() => listing.show({ cell: null })}>
          {trans.__('Show all')}
        </button>
      </div>
    );
  }
  return (
    <div className="llmcache-Filters" role="search">
      <input
        type="search"
        placeholder={trans.__('Search prompts and answers')}
        aria-label={trans.__('Search prompts and answers')}
        value={text}
        onChange={event => setText(event.target.value)}
      />
      <select
        aria-label={trans.__('Model')}
        value={filter.model ?? ''}
        onChange={event => listing.show({ model: event.target.value || null })}
      >
        <option value="">{trans.__('All models')}</option>
        {listing.models.map(([model, count]) => (
          <option key={model} value={model}>
            {`${model} (${number(count)})`}
          </option>
        ))}
      </select>
      <select
        aria-label={trans.__('Order')}
        value={filter.sort}
        onChange={event => listing.show({ sort: event.target.value as SortColumn })}
      >
        {sorts.map(([sort, label]) => (
          <option key={sort} value={sort}>
            {label}
          </option>
        ))}
      </select>
    </div>
  );
}
