// What of a panel is in the browser: shows the traits that Python writes, sends a message for what its user does.
// Texts are set as text. Only `status` and `detail` are HTML, made and escaped by Python.

const SEARCH_PAUSE = 200;
const CHOICE_PAUSE = 120;
const PATIENCE = 500;
const TIMES = ["stored", "last used"];

function make(name, properties = {}, ...children) {
  const { aria = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(aria)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Calls `action` once nothing was asked for during `pause` ms; `now` calls it at once. */
function later(action, pause) {
  let timer = null;
  const now = () => {
    clearTimeout(timer);
    timer = null;
    action();
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(now, pause);
  };
  return { now, soon, isPending: () => timer !== null };
}

/** Sends messages to Python and says with `onWaiting(true)` when an answer is long in coming. */
function sender(model, onWaiting) {
  let sent = model.get("done");
  let timer;
  const check = () => {
    clearTimeout(timer);
    onWaiting(false);
    if (model.get("done") < sent) timer = setTimeout(() => onWaiting(true), PATIENCE);
  };
  const send = (kind, rest = {}) => {
    sent = Math.max(sent, model.get("done")) + 1;
    model.send({ kind, n: sent, ...rest });
    check();
  };
  return { send, check, isAnswered: () => model.get("done") >= sent, stop: () => clearTimeout(timer) };
}

const slug = (column) => `llmcache-c-${column.name.replace(" ", "-")}${column.isFigure ? " llmcache-figure" : ""}`;

function makeHeader(column, send) {
  const cell = make("th", { scope: "col", className: slug(column) });
  if (column.sort) {
    const button = make("button", { type: "button", textContent: column.name, title: `Sort by ${column.name}` });
    button.addEventListener("click", () => send("sort", { column: column.sort }));
    cell.append(button);
  } else {
    cell.append(make("span", { textContent: column.name }));
  }
  return cell;
}

function makeRow(columns) {
  const cells = columns.map((column) => make("td", { className: slug(column) }, make("bdi")));
  return make("tr", { tabIndex: -1 }, ...cells);
}

function fillRow(row, columns, values, today) {
  row.dataset.id = values.id;
  columns.forEach((column, index) => {
    const whole = values.cells[index];
    const isTime = TIMES.includes(column.name) && whole.length > 10;
    const short = whole.startsWith(today) ? whole.slice(11) : whole.slice(0, 10);
    setText(row.cells[index].firstChild, isTime ? short : whole);
    row.cells[index].title = whole;
  });
}

/** The table: rows stay the same elements when the page changes, so that no click falls between two. */
function makeTable(model, { send, isAnswered }) {
  const columns = model.get("columns");
  const headers = columns.map((column) => makeHeader(column, send));
  const body = make("tbody");
  const table = make(
    "table",
    { className: "llmcache-table", aria: { role: "grid", "aria-label": "Cached entries" } },
    make("thead", {}, make("tr", {}, ...headers)),
    body,
  );
  const empty = make("div", { className: "llmcache-empty" });
  const scroll = make("div", { className: "llmcache-scroll" }, table, empty);
  let chosen = model.get("chosen");
  const sendChoice = later(() => chosen !== null && send("choose", { id: chosen }), CHOICE_PAUSE);

  const mark = () => {
    const rows = [...body.rows];
    const current = rows.find((row) => row.dataset.id === chosen);
    for (const row of rows) {
      row.setAttribute("aria-selected", String(row === current));
      row.tabIndex = row === (current ?? rows[0]) ? 0 : -1;
    }
  };
  const choose = (row, { now = false } = {}) => {
    if (!row) return;
    chosen = row.dataset.id;
    mark();
    row.focus();
    if (now) sendChoice.now();
    else sendChoice.soon();
  };
  const turn = (to, event) => {
    event.preventDefault();
    send("go", { to });
  };

  body.addEventListener("click", (event) => choose(event.target.closest("tr"), { now: true }));
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const keys = {
      ArrowDown: () => choose(row.nextElementSibling),
      ArrowUp: () => choose(row.previousElementSibling),
      Home: () => choose(body.rows[0]),
      End: () => choose(body.rows[body.rows.length - 1]),
      Enter: () => choose(row, { now: true }),
      " ": () => choose(row, { now: true }),
      PageDown: () => turn("next", event),
      PageUp: () => turn("previous", event),
    };
    if (!row || !Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });

  let place = "";
  const draw = () => {
    const page = model.get("page");
    const hadFocus = body.contains(document.activeElement);
    const focused = hadFocus ? document.activeElement.sectionRowIndex : 0;
    while (body.rows.length > page.rows.length) body.deleteRow(-1);
    while (body.rows.length < page.rows.length) body.append(makeRow(columns));
    page.rows.forEach((values, index) => fillRow(body.rows[index], columns, values, page.today));
    headers.forEach((header, index) => {
      const isSorted = columns[index].sort === page.sort && page.sort !== null;
      if (isSorted) header.setAttribute("aria-sort", page.descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
    table.hidden = !page.rows.length;
    empty.hidden = Boolean(page.rows.length);
    setText(empty, page.empty);
    if (String(page.place) !== place) scroll.scrollTop = 0;
    place = String(page.place);
    mark();
    if (hadFocus) body.rows[Math.min(focused, body.rows.length - 1)]?.focus({ preventScroll: true });
  };
  const follow = () => {
    // an answer to an earlier choice must not undo the latest one
    if (sendChoice.isPending() || !isAnswered()) return;
    chosen = model.get("chosen");
    mark();
  };
  return { node: scroll, draw, follow };
}

function makePager(send) {
  const button = (to, sign, label) => {
    const node = make("button", { type: "button", textContent: sign, title: label, aria: { "aria-label": label } });
    node.addEventListener("click", () => send("go", { to }));
    return node;
  };
  const back = [button("first", "«", "First page"), button("previous", "‹", "Previous page")];
  const on = [button("next", "›", "Next page"), button("last", "»", "Last page")];
  const extent = make("span", { className: "llmcache-extent", aria: { role: "status" } });
  const node = make("div", { className: "llmcache-pager", aria: { role: "group", "aria-label": "Pages" } });
  node.append(...back, extent, ...on);
  const draw = (page, isWaiting) => {
    setText(extent, isWaiting ? "waiting for the kernel …" : page.extent);
    for (const one of back) one.disabled = page.isFirst;
    for (const one of on) one.disabled = page.isLast;
  };
  return { node, draw };
}

/** The buttons that remove: the chosen entry, or all of them after a second question. */
function makeRemoval(model, send) {
  const remove = make("button", { type: "button", textContent: "Delete chosen" });
  const clear = make("button", { type: "button", textContent: "Clear…", title: "Remove all entries" });
  const question = make("span");
  const yes = make("button", { type: "button", textContent: "Remove all", className: "llmcache-final" });
  const no = make("button", { type: "button", textContent: "Cancel" });
  const confirm = make(
    "div",
    { className: "llmcache-question", hidden: true, aria: { role: "group", "aria-label": "Confirm" } },
    question,
    yes,
    no,
  );
  const buttons = make("div", { className: "llmcache-question" }, remove, clear);
  const ask = (isAsking) => {
    confirm.hidden = !isAsking;
    buttons.hidden = isAsking;
    (isAsking ? no : clear).focus();
  };
  remove.addEventListener("click", () => send("delete", { id: model.get("chosen") }));
  clear.addEventListener("click", () => ask(true));
  no.addEventListener("click", () => ask(false));
  yes.addEventListener("click", () => {
    ask(false);
    send("clear");
  });
  confirm.addEventListener("keydown", (event) => event.key === "Escape" && ask(false));
  const draw = (page) => {
    setText(question, page.question);
    clear.disabled = page.isCleared;
    remove.disabled = model.get("chosen") === null;
  };
  return { node: make("div", {}, buttons, confirm), draw };
}

function makeFilter(send) {
  const label = "Search prompts and answers";
  const search = make("input", { type: "search", placeholder: label, aria: { "aria-label": label } });
  search.className = "llmcache-grow";
  const models = make("select", { title: "Model", aria: { "aria-label": "Model" } });
  const refresh = make("button", { type: "button", textContent: "Refresh", title: "Read the entries anew" });
  const find = later(() => send("search", { text: search.value }), SEARCH_PAUSE);
  search.addEventListener("input", find.soon);
  search.addEventListener("keydown", (event) => event.key === "Enter" && find.now());
  models.addEventListener("change", () => send("model", { model: models.value || null }));
  refresh.addEventListener("click", () => send("refresh"));
  let names = null;
  const draw = (page, allNames) => {
    if (JSON.stringify(allNames) !== names) {
      names = JSON.stringify(allNames);
      const options = allNames.map((name) => make("option", { value: name, textContent: name }));
      models.replaceChildren(make("option", { value: "", textContent: "All models" }), ...options);
    }
    models.value = page.model ?? "";
    if (document.activeElement !== search) search.value = page.text;
  };
  return { node: make("div", { className: "llmcache-bar", aria: { role: "search" } }, search, models, refresh), draw };
}

function makeLookup(send) {
  const label = "Look up a prompt, as it was asked";
  const prompt = make("textarea", { rows: 1, placeholder: label, aria: { "aria-label": label } });
  prompt.className = "llmcache-grow";
  const button = make("button", { type: "submit", textContent: "Look up", title: "Is this prompt cached?" });
  const form = make("form", { className: "llmcache-bar" }, prompt, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send("lookup", { prompt: prompt.value });
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return form;
}

/** A saved notebook shows a static table; it would be there twice while the panel is. */
function hideFallback(id) {
  const style = make("style");
  style.textContent = `#${id}, .jp-OutputArea-child:has(#${id}) { display: none !important; }`;
  document.head.append(style);
  return () => style.remove();
}

function render({ model, el }) {
  let isWaiting = false;
  const messages = sender(model, (waiting) => {
    isWaiting = waiting;
    el.classList.toggle("llmcache-busy", waiting);
    pager.draw(model.get("page"), isWaiting);
  });
  const { send } = messages;
  const status = make("div", { className: "llmcache-status" });
  const filter = makeFilter(send);
  const table = makeTable(model, messages);
  const pager = makePager(send);
  const removal = makeRemoval(model, send);
  const message = make("div", { className: "llmcache-message", aria: { role: "status" } });
  const detail = make("div", {
    className: "llmcache-detail",
    aria: { role: "region", "aria-label": "Chosen entry" },
  });
  const space = make("div", { className: "llmcache-space" });
  const bar = make("div", { className: "llmcache-bar" }, pager.node, space, removal.node);
  el.classList.add("llmcache-panel");
  // else JupyterLab takes Enter and the arrows for itself
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  el.append(status, filter.node, table.node, bar, makeLookup(send), message, detail);

  const drawings = {
    status: () => (status.innerHTML = model.get("status")),
    page: () => {
      table.draw();
      pager.draw(model.get("page"), isWaiting);
      filter.draw(model.get("page"), model.get("models"));
      removal.draw(model.get("page"));
    },
    models: () => filter.draw(model.get("page"), model.get("models")),
    chosen: () => {
      table.follow();
      removal.draw(model.get("page"));
    },
    message: () => {
      setText(message, model.get("message").text);
      message.classList.toggle("llmcache-wrong", model.get("message").isError);
    },
    detail: () => (detail.innerHTML = model.get("detail")),
    done: () => {
      messages.check();
      table.follow();
    },
  };
  for (const [name, draw] of Object.entries(drawings)) {
    model.on(`change:${name}`, draw);
    draw();
  }
  const showFallback = hideFallback(model.get("fallback"));
  model.send({ kind: "shown" });
  return () => {
    for (const [name, draw] of Object.entries(drawings)) model.off(`change:${name}`, draw);
    messages.stop();
    showFallback();
    model.send({ kind: "hidden" });
  };
}

export default { render };
