import { Clipboard } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';
import { useLayoutEffect, useRef, useState } from 'react';

import { moment, number, seconds } from '../format';
import type { IEntry, IText } from '../protocol';
import type { IPanelContext } from './context';
import { Frame } from './frame';
import { QuietSanitizer } from './quiet';
import { Why } from './why';

// A longer text as Markdown would make the page stand still
const MARKDOWN_CHARACTERS = 20_000;
const MIME = 'text/markdown';

export interface IDetailProps {
  context: IPanelContext;
  entry: IEntry;
  /** Whether a call for it missed, in what is listed or asked about. */
  missed: boolean;
  /** Whether to tell why. */
  tellsWhy: boolean;
  toggleWhy: () => void;
  close: () => void;
  remove: () => void;
  /** Shows the entry with this id. */
  show: (entry: string) => void;
}

/** One entry in full: what is known of it, the prompt by role, each answer. */
export function Detail({ context, entry, missed, tellsWhy, toggleWhy, close, remove, show }: IDetailProps): JSX.Element {
  const { trans } = context;
  const [isMarkdown, setMarkdown] = useState(context.settings.markdown);
  const facts: [string, string | null][] = [
    [trans.__('model'), entry.model],
    [trans.__('stored'), moment(entry.stored)],
    [trans.__('took'), seconds(entry.took)],
    [trans.__('tokens'), number(entry.tokens)],
    [trans.__('hits'), number(entry.hits)],
    [trans.__('last used'), moment(entry.last_used)],
    [trans.__('id'), entry.id]
  ];
  return (
    <Frame
      key={entry.id}
      context={context}
      row={entry}
      label={trans.__('Chosen entry')}
      closing={trans.__('Close the entry')}
      close={close}
      actions={
        <>
          {missed && (
            <button type="button" aria-expanded={tellsWhy} onClick={toggleWhy}>
              {trans.__('Why a miss?')}
            </button>
          )}
          <button type="button" className="llmcache-mod-warn" onClick={remove}>
            {trans.__('Delete')}
          </button>
        </>
      }
    >
      {missed && tellsWhy && <Why context={context} call={entry.id} show={show} />}
      <Pairs className="llmcache-Facts" pairs={facts} />
      {entry.messages.map((message, index) => (
        <TextBlock key={`m${index}`} context={context} heading={message.role ?? trans.__('Prompt')} text={message} />
      ))}
      {entry.answers.map((one, index) => {
        const heading =
          entry.answers.length > 1
            ? trans.__('Answer %1 of %2', index + 1, entry.answers.length)
            : trans.__('Answer');
        return (
          <div key={`a${index}`} className="llmcache-mod-answer">
            {(one.text || one.calls.length === 0) && (
              <TextBlock
                context={context}
                heading={heading}
                text={one}
                isMarkdown={isMarkdown}
                toggleMarkdown={() => setMarkdown(!isMarkdown)}
              />
            )}
            {one.calls.map(([name, args], call) => (
              <TextBlock
                key={call}
                context={context}
                heading={trans.__('%1 · tool call · %2', heading, name)}
                text={{ text: args, left: 0 }}
                isCode
              />
            ))}
          </div>
        );
      })}
      {Object.keys(entry.parameters).length > 0 && (
        <details>
          <summary>{trans.__('Model parameters')}</summary>
          <Pairs pairs={Object.entries(entry.parameters)} />
        </details>
      )}
    </Frame>
  );
}

function Pairs({ pairs, className }: { pairs: [string, string | null][]; className?: string }): JSX.Element {
  return (
    <dl className={className}>
      {pairs
        .filter(([, value]) => value !== null)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <bdi>{value}</bdi>
            </dd>
          </div>
        ))}
    </dl>
  );
}

interface ITextBlockProps {
  context: IPanelContext;
  heading: string;
  text: IText;
  isMarkdown?: boolean;
  toggleMarkdown?: () => void;
  isCode?: boolean;
}

/** A text under its heading, to read and to copy. */
function TextBlock({ context, heading, text, isMarkdown, toggleMarkdown, isCode }: ITextBlockProps): JSX.Element {
  const { trans } = context;
  const canBeMarkdown = context.rendermime !== null && text.text.length <= MARKDOWN_CHARACTERS;
  const asMarkdown = isMarkdown && canBeMarkdown;
  const copy = (): void => {
    Clipboard.copyToSystem(text.text);
    context.tell(trans.__('%1 copied', heading));
  };
  return (
    <div className="llmcache-Text">
      <h4>
        <span>{heading}</span>
        {toggleMarkdown && canBeMarkdown && (
          <button type="button" aria-pressed={isMarkdown} onClick={toggleMarkdown}>
            {trans.__('Markdown')}
          </button>
        )}
        <button type="button" aria-label={trans.__('Copy: %1', heading)} onClick={copy}>
          {trans.__('Copy')}
        </button>
      </h4>
      {asMarkdown && text.text ? (
        <Markdown context={context} source={text.text} />
      ) : (
        <pre dir="auto" className={isCode ? 'llmcache-mod-code' : undefined}>
          {text.text || <span className="llmcache-mod-muted">{trans.__('empty')}</span>}
        </pre>
      )}
      {text.left > 0 && (
        <p className="llmcache-mod-muted">
          {trans.__('… %1 more characters. The whole text: %llmcache entries --full', number(text.left))}
        </p>
      )}
    </div>
  );
}

/** A text by JupyterLab's own renderer, which lets through nothing that acts, and nothing that loads. */
function Markdown({ context, source }: { context: IPanelContext; source: string }): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  // a layout effect ends before its nodes are gone, which Lumino wants
  useLayoutEffect(() => {
    const registry = context.rendermime;
    if (registry === null || host.current === null) {
      return;
    }
    const quiet = registry.clone({ sanitizer: new QuietSanitizer(registry.sanitizer) });
    const renderer = quiet.createRenderer(MIME);
    const model = quiet.createModel({ data: { [MIME]: source }, trusted: false });
    Widget.attach(renderer, host.current);
    void renderer.renderModel(model);
    return () => renderer.dispose();
  }, [context.rendermime, source]);
  return <div ref={host} className="llmcache-Markdown" dir="auto" />;
}
