import '../../style/entries.css';

import { useCallback, useEffect, useReducer, useRef, useState } from 'react';

import { clearQuestion, entries } from '../format';
import type { KernelCache } from '../kernel';
import type { IEntry, IRow, IState, Mode } from '../protocol';
import { Call } from './call';
import type { IPanelContext } from './context';
import { Detail } from './detail';
import { Filters, Header } from './header';
import { List } from './list';
import type { Listing } from './listing';
import { Notice } from './notice';

// A kernel that takes longer is told of as busy
const PATIENCE_MS = 700;

export interface IBodyProps {
  context: IPanelContext;
  cache: KernelCache;
  state: IState;
  listing: Listing;
  name: string;
  /** The missed call that the user asks about, or null. */
  asked: IRow | null;
  /** What was asked about is shown. */
  onAsked: () => void;
  /** Asks the user; whether to go on. */
  confirm: (question: string, action: string) => Promise<boolean>;
}

/** Which missed call the user asked about, and whether the reason is shown. */
interface IWhyAsked {
  id: string | null;
  isTold: boolean;
}

/** The cache of a kernel that has one: its status, its entries, and one of them in full. */
export function Body({ context, cache, state, listing, name, asked, onAsked, confirm }: IBodyProps): JSX.Element {
  const { trans, tell } = context;
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const [entry, setEntry] = useState<IEntry | null>(null);
  const [call, setCall] = useState<IRow | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const [why, setWhy] = useState<IWhyAsked>({ id: null, isTold: false });
  const isSlow = useSlow(listing.isAsking);
  const latest = useRef<string | null>(null);

  const attempt = useCallback(
    async (act: () => Promise<void>) => {
      try {
        await act();
      } catch (error) {
        tell(error instanceof Error ? error.message : String(error), true);
      }
    },
    [tell]
  );
  const show = useCallback(
    (id: string): void => {
      latest.current = id;
      setChosen(id);
      void attempt(async () => {
        const found = await context.ask('entry', { entry: id });
        if (latest.current === id) {
          setEntry(found);
          setCall(null);
        }
      });
    },
    [context, attempt]
  );
  const choose = useCallback(
    (row: IRow | null): void => {
      if (row !== null && row.stored !== null) {
        show(row.id);
        return;
      }
      latest.current = row?.id ?? null;
      setChosen(latest.current);
      setEntry(null);
      setCall(row);
    },
    [show]
  );
  const remove = (row: IRow): void => {
    void attempt(async () => {
      const index = listing.indexOf(row.id);
      const next = listing.row(index + 1) ?? listing.row(index - 1) ?? null;
      await context.ask('delete', { entry: row.id });
      tell(trans.__('1 entry deleted'));
      choose(next);
      listing.refresh();
    });
  };
  const clear = (): void => {
    void attempt(async () => {
      if (await confirm(clearQuestion(state, trans), trans.__('Remove'))) {
        const { removed } = await context.ask('clear', { shared: state.shared });
        tell(trans.__('%1 cleared', entries(removed, trans)));
        choose(null);
        listing.refresh();
      }
    });
  };
  const switchTo = (active: boolean, mode: Mode | null): void => {
    void attempt(async () => {
      await context.ask('switch', { active, mode });
      tell(active ? (mode ? trans.__('On, mode %1', mode) : trans.__('On')) : trans.__('Off'));
    });
  };

  useEffect(() => {
    const onChange = (): void => draw();
    listing.changed.connect(onChange);
    return () => {
      listing.changed.disconnect(onChange);
    };
  }, [listing]);
  useEffect(() => listing.refreshSoon(), [listing, state.changes]);
  const { filter } = listing;
  useEffect(() => choose(null), [cache, choose, filter.cell]);
  useEffect(() => {
    if (state.entries === 0) {
      choose(null); // cleared, by a cell perhaps
    }
  }, [state.entries, choose]);
  // the call as it is listed now: since it was chosen, its answer may have been stored
  const listed = call === null ? null : (listing.row(listing.indexOf(call.id)) ?? call);
  const answered = listed !== null && listed.stored !== null ? listed.id : null;
  useEffect(() => {
    if (answered !== null) {
      show(answered);
    }
  }, [answered, show]);
  // the last effect: what is asked about stays chosen
  useEffect(() => {
    if (asked !== null) {
      choose(asked);
      setWhy({ id: asked.id, isTold: true });
      onAsked();
    }
  }, [asked, onAsked, choose]);
  const isMiss = (id: string): boolean => listing.missed(id) || why.id === id;
  const tellsWhy = why.isTold && why.id === entry?.id;

  if (!state.active && !state.entries) {
    return (
      <>
        <Notice text={trans.__('The cache of %1 is off.', name)}>
          <button type="button" className="llmcache-mod-accept" onClick={() => switchTo(true, null)}>
            {trans.__('Turn on')}
          </button>
        </Notice>
        <Notes notes={state.notes} />
      </>
    );
  }
  const isFiltered = filter.text !== '' || filter.model !== null;
  return (
    <>
      <Header context={context} name={name} state={state} switchTo={switchTo} clear={clear} />
      {!state.active && (
        <div className="llmcache-Banner">
          {trans.__('Off: calls go to the model.')}
          <button type="button" className="llmcache-mod-accept" onClick={() => switchTo(true, null)}>
            {trans.__('Turn on')}
          </button>
        </div>
      )}
      <Filters key={String(listing.filter.cell)} context={context} listing={listing} state={state} />
      {listing.error !== null && (
        <div className="llmcache-Note" role="alert">
          {listing.error}{' '}
          <button type="button" onClick={() => listing.refresh()}>
            {trans.__('Try again')}
          </button>
        </div>
      )}
      {isSlow && (
        <div className="llmcache-Hint" role="status">
          {cache.isBusy ? trans.__('The kernel is busy. It answers when it can.') : trans.__('Waiting for the kernel …')}
        </div>
      )}
      {listing.total === 0 ? (
        <div className="llmcache-Empty">
          {filter.cell !== null
            ? trans.__('The kernel knows no more of the calls of this cell.')
            : isFiltered
              ? trans.__('No entry matches.')
              : trans.__('No entries yet. The next call of a model adds one.')}
        </div>
      ) : (
        <List context={context} listing={listing} chosen={chosen} choose={choose} remove={remove} />
      )}
      {listing.more > 0 && (
        <div className="llmcache-Hint">{trans.__('… and the calls for %1', entries(listing.more, trans))}</div>
      )}
      {listed !== null && (
        <Call
          context={context}
          row={listed}
          missed={isMiss(listed.id)}
          close={() => choose(null)}
          show={show}
        />
      )}
      {entry !== null && (
        <Detail
          context={context}
          entry={entry}
          missed={isMiss(entry.id)}
          tellsWhy={tellsWhy}
          toggleWhy={() => setWhy({ id: entry.id, isTold: !tellsWhy })}
          close={() => choose(null)}
          remove={() => remove(entry)}
          show={show}
        />
      )}
    </>
  );
}

function Notes({ notes }: { notes: string[] }): JSX.Element {
  return (
    <>
      {notes.map(note => (
        <div key={note} className="llmcache-Note" role="alert">
          {note}
        </div>
      ))}
    </>
  );
}

function useSlow(isAsking: boolean): boolean {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    if (!isAsking) {
      setSlow(false);
      return;
    }
    const timer = setTimeout(() => setSlow(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isAsking]);
  return isSlow;
}
