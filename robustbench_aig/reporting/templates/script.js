"use strict";
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
    const head = table.tHead.rows[0];
    head.replaceChildren(element("th", "gate", { scope: "col" }));
    map.columns.forEach((name, column) =>
      head.append(element("th", name, { scope: "col", title: `${map.counts[column]} images` })));
    table.tBodies[0].replaceChildren(...map.gates.map((gate, row) => {
      const line = document.createElement("tr");
      line.append(element("th", gate, { scope: "row" }));
      map.clean[row].forEach((before, column) =>
        line.append(cell(table.dataset.kind, before, map.attacked[row][column])));
      return line;
    }));
  };
  const boxes = [...form.querySelectorAll("select")];
  const show = () => {
    const chosen = boxes.map((box) => box.value);
    const map = data[chosen.join("|")];
    const maps = document.getElementById("heat-maps");
    maps.hidden = !map;
    document.getElementById("heat-shown").textContent =
      map ? `Shown: ${chosen.join(", ")}.${map.note}` : `Not measured: ${chosen.join(", ")}.`;
    if (map) maps.querySelectorAll("table").forEach((table) => fill(table, map));
  };
  form.hidden = false;
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
