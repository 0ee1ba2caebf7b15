/** What there is to say where there are no entries to show, and what to do about it. */
export function Notice({ text, children }: { text: string; children?: React.ReactNode }): JSX.Element {
  return (
    <div className="llmcache-Notice">
      <p>{text}</p>
      {children}
    </div>
  );
}
