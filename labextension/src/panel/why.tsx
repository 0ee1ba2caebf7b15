import { useEffect, useState } from 'react';

import type { IChange, IExplanation } from '../protocol';
import type { IPanelContext } from './context';

export interface IWhyProps {
  context: Pick<IPanelContext, 'trans' | 'ask'>;
  /** The id of the call that missed. */
  call: string;
  /** Shows the entry with this id. */
  show: (entry: string) => void;
}

/** Why a call was not a hit, in the kernel's words. The kernel is asked when this appears. */
export function Why({ context, call, show }: IWhyProps): JSX.Element {
  const { trans } = context;
  const [explanation, setExplanation] = useState<IExplanation | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let isAsked = true;
    setExplanation(null);
    setError(null);
    context.ask('why', { entry: call }).then(
      found => isAsked && setExplanation(found),
      error => isAsked && setError(error instanceof Error ? error.message : String(error))
    );
    return () => {
      isAsked = false;
    };
  }, [context, call, attempt]);
  const nearest = explanation?.nearest;
  return (
    <section className="llmcache-Why" aria-label={trans.__('Why this was a miss')} dir="auto">
      <div role="status">
        {explanation !== null && <Sentences context={context} explanation={explanation} />}
        {explanation === null && error === null && (
          <p className="llmcache-mod-muted">{trans.__('Looking for the nearest entry …')}</p>
        )}
      </div>
      {error !== null && (
        <p role="alert">
          {error}{' '}
          <button type="button" onClick={() => setAttempt(attempt + 1)}>
            {trans.__('Try again')}
          </button>
        </p>
      )}
      {nearest && (
        <button type="button" onClick={() => show(nearest)}>
          {trans.__('Show the nearest entry')}
        </button>
      )}
    </section>
  );
}

function Sentences({ context, explanation }: Pick<IWhyProps, 'context'> & { explanation: IExplanation }): JSX.Element {
  const { headline, reason, differences, asides, warnings } = explanation;
  return (
    <>
      <p className="llmcache-mod-muted">{headline}</p>
      <p>{reason}</p>
      {differences.length > 0 && (
        <ul>
          {differences.map((change, index) => (
            <Change key={index} context={context} change={change} />
          ))}
        </ul>
      )}
      {asides.map(aside => (
        <p key={aside} className="llmcache-mod-muted">
          {aside}
        </p>
      ))}
      {warnings.map(warning => (
        <p key={warning} className="llmcache-Note">
          {warning}
        </p>
      ))}
    </>
  );
}

function Change({ context, change }: Pick<IWhyProps, 'context'> & { change: IChange }): JSX.Element {
  const { trans } = context;
  return (
    <li>
      {change.words}
      {(change.stored !== null || change.asked !== null) && (
        <dl>
          {change.stored !== null && (
            <div>
              <dt>{trans.__('stored')}</dt>
              <dd dir="auto">{change.stored}</dd>
            </div>
          )}
          {change.asked !== null && (
            <div>
              <dt>{trans.__('asked')}</dt>
              <dd className="llmcache-mod-asked" dir="auto">
                {change.asked}
              </dd>
            </div>
          )}
        </dl>
      )}
    </li>
  );
}
