/** What of react-dom, which comes with JupyterLab's packages, the tests use. */
declare module 'react-dom/client' {
  export function createRoot(host: Element): { render(element: JSX.Element): void };
}
