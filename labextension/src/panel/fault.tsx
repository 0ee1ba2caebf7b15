import type { TranslationBundle } from '@jupyterlab/translation';
import { Component } from 'react';

import { Notice } from './notice';

export interface IFaultProps {
  trans: TranslationBundle;
  /** What is shown, as long as there is no fault in it. */
  render: () => JSX.Element;
  /** Forgets what may have led to the fault. */
  retry: () => void;
}

interface IFaultState {
  error: Error | null;
}

/**
 * A fault in what is shown ends there: a message in its place, with a button to try again.
 *
 * Without it, React takes away the whole panel and leaves it empty.
 */
export class Fault extends Component<IFaultProps, IFaultState> {
  state: IFaultState = { error: null };

  static getDerivedStateFromError(error: unknown): IFaultState {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  render(): JSX.Element {
    const { trans, render, retry } = this.props;
    const { error } = this.state;
    if (error === null) {
      return <Content render={render} />;
    }
    return (
      <Notice text={trans.__('The panel could not show this. Your notebook and the cache go on as before.')}>
        <p className="llmcache-mod-muted" role="alert">
          {error.message}
        </p>
        <button
          type="button"
          className="llmcache-mod-accept"
          onClick={() => {
            retry();
            this.setState({ error: null });
          }}
        >
          {trans.__('Try again')}
        </button>
      </Notice>
    );
  }
}

/** Called by React, below the boundary: what is thrown there reaches it. */
function Content({ render }: Pick<IFaultProps, 'render'>): JSX.Element {
  return render();
}
