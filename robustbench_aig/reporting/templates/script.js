"use strict";

// Every head of a column that says how it sorts becomes a button.
const sortable = (table) => {
  const body = table.tBodies[0];
  const lines = [...body.rows];
  const key = (line, column, kind) => {
    const cell = line.cells[column];
    return kind === "number" ? Number(cell.dataset.key ?? cell.textContent) : cell.textContent;
  };
  const sort = (head) => {
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    const [column, kind] = [head.cellIndex, head.dataset.sort];
    lines.sort((a, b) => {
      const [one, two] = [key(a, column, kind), key(b, column, kind)];
      return way * (kind === "number" ? one - two : one.localeCompare(two));
    });
    body.append(...lines);
  };
  for (const head of table.tHead.rows[0].cells) {
    if (!head.dataset.sort) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(head));
    head.replaceChildren(button);
  }
};

(function tooltips() {
  const tip = document.getElementById("tip");
  const describe = (target) => {
    const mark = target.closest("[role='graphics-symbol'][aria-label]");
    if (mark && mark.closest(".role-mark")) return mark.getAttribute("aria-label");
    const cell = target.closest(".heat td");
    if (!cell) return null;
    const table = cell.closest("table");
    const column = table.tHead.rows[0].cells[cell.cellIndex].textContent;
    const row = `${table.dataset.rows || "gate"} ${cell.parentNode.cells[0].textContent}`;
    return `${table.caption.textContent}: ${row}, ${column}: ${cell.textContent}`;
  };
  const move = (event) => {
    const text = event.target.closest ? describe(event.target) : null;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
  };
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerdown", move);
  document.addEventListener("scroll", () => { tip.hidden = true; }, true);
})();

(function heatMaps() {
  const form = document.getElementById("heat-choose");
  if (!form) return;
  const data = JSON.parse(document.getElementById("heat-data").textContent);
  const element = (name, text, attributes) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  // As heatmap.cell does for the choice that is shown without a script.
  const cell = (kind, before, after) => {
    const change = after - before;
    if (kind === "change") {
      const points = Math.round(change / 10);
      const sign = points > 0 ? "+" : points < 0 ? "\u2212" : "";
      const level = Math.max(0, Math.min(10, 5 + Math.round(change / 50)));
      return element("td", `${sign}${Math.abs(points)}`, { class: `d${level}` });
    }
    const rate = kind === "clean" ? before : after;
    return element("td", String(Math.round(rate / 10)), { class: `h${Math.round(rate / 100)}` });
  };
  const fill = (table, map) => {
    const kind = table.dataset.kind === "noise" ? "change" : table.dataset.kind;
    const head = table.tHead.rows[0];
    head.replaceChildren(element("th", "gate", { scope: "col" }));
    map.columns.forEach((name, column) =>
      head.append(element("th", name, { scope: "col", title: `${map.counts[column]} images` })));
    table.tBodies[0].replaceChildren(...map.gates.map((gate, row) => {
      const line = document.createElement("tr");
      line.append(element("th", gate, { scope: "row" }));
      map.clean[row].forEach((before, column) =>
        line.append(cell(kind, before, map.attacked[row][column])));
      return line;
    }));
  };
  const boxes = [...form.querySelectorAll("select")];
  const slider = form.querySelector("input");
  const budgets = [...form.querySelectorAll("datalist option")].map((tick) => tick.label);
  // At the left end of the slider nothing is attacked: every map of the model says the same then.
  const at = (model, attack, place) => {
    const found = place
      ? data[[model, attack, budgets[place]].join("|")]
      : budgets.map((budget) => data[[model, attack, budget].join("|")]).find(Boolean);
    return found && !place ? { ...found, attacked: found.clean } : found;
  };
  const show = () => {
    const [model, attack] = boxes.map((box) => box.value);
    const place = Number(slider.value);
    const chosen = [...boxes.map((box) => box.selectedOptions[0].textContent), budgets[place]].join(", ");
    slider.setAttribute("aria-valuetext", budgets[place]);
    const map = at(model, attack, place);
    const noise = at(model, form.dataset.control, place);
    const maps = document.getElementById("heat-maps");
    maps.hidden = !map;
    document.getElementById("heat-shown").textContent =
      map ? `Shown: ${chosen}.${map.note}` : `Not measured: ${chosen}.`;
    if (!map) return;
    for (const table of maps.querySelectorAll("table")) {
      const shown = table.dataset.kind === "noise" ? noise : map;
      table.parentNode.hidden = !shown;
      if (shown) fill(table, shown);
    }
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();

(function imageTable() {
  const form = document.getElementById("image-outcomes-choose");
  if (!form) return;
  const table = document.getElementById("image-outcomes-table");
  const body = table.tBodies[0];
  const lines = [...body.rows];
  const shown = document.getElementById("image-outcomes-shown");
  const wanted = (by) => form.querySelector(`[data-by="${by}"]`).value;
  const filter = () => {
    const [kind, outcome, text] = [wanted("class"), wanted("outcome"), wanted("text").trim().toLowerCase()];
    for (const line of lines) {
      line.hidden = (kind && line.dataset.class !== kind) || (outcome && line.dataset.outcome !== outcome)
        || !line.textContent.toLowerCase().includes(text);
    }
    shown.textContent = `Shown: ${lines.filter((line) => !line.hidden).length} of ${lines.length} images.`;
  };
  sortable(table);
  form.hidden = shown.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();

(function leaderboard() {
  const form = document.getElementById("board-choose");
  if (!form) return;
  const boards = [...document.querySelectorAll(".board")];
  const boxes = [...form.querySelectorAll("[name]")];
  const [shown, reset] = [document.getElementById("board-shown"), form.querySelector("button")];
  const hit = (board, line, want) =>
    (!want.images || want.images === board.dataset.images) && (!want.threat || want.threat === board.dataset.threat)
    && (!want.answers || want.answers === board.dataset.answers)
    && (!want.family || want.family === line.dataset.family) && (!want.checks || want.checks === line.dataset.checks)
    && (!want.network || line.dataset.network.toLowerCase().includes(want.network.toLowerCase()));
  const filter = () => {
    const chosen = boxes.map((box) => [box.name, box.value.trim()]).filter(([, value]) => value);
    const want = Object.fromEntries(chosen);
    let [left, all] = [0, 0];
    for (const board of boards) {
      const lines = [...board.querySelector("tbody").rows];
      for (const line of lines) line.hidden = !hit(board, line, want);
      const here = lines.filter((line) => !line.hidden).length;
      board.hidden = !here;
      if (chosen.length) board.open = true;
      left += here;
      all += lines.length;
    }
    shown.textContent = `Shown: ${left} of ${all} rows.`;
    reset.hidden = !chosen.length;
    return new URLSearchParams(chosen).toString();
  };
  // What is chosen stands in the address, so that it can be linked.
  const choose = () => history.replaceState(null, "", `#${filter()}`);
  const follow = () => {
    const linked = new URLSearchParams(location.hash.slice(1));
    if (!location.hash.includes("=")) return;
    for (const box of boxes) box.value = linked.get(box.name) ?? "";
    filter();
  };
  for (const board of boards) sortable(board.querySelector("table"));
  form.hidden = shown.hidden = false;
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  reset.addEventListener("click", () => { form.reset(); choose(); });
  addEventListener("hashchange", follow);
  filter();
  follow();
})();

(function sections() {
  // What a link leads to is opened: a folded part has no place on the page.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
