// Sorts and filters the table of cells. Without it the page shows the same.
"use strict";

const table = document.querySelector("table.cells");
const rows = [...table.tBodies[0].rows];
const controls = document.querySelector("#filter");
const search = controls.querySelector("input");
const shown = controls.querySelector("output");
const tiles = [...document.querySelectorAll(".tiles a[data-status]")];
let status = "";

function filter() {
  const words = search.value.toLowerCase().split(/\s+/);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = (status !== "" && row.dataset.status !== status) || !words.every((word) => text.includes(word));
    count += row.hidden ? 0 : 1;
  }
  for (const tile of tiles) tile.setAttribute("aria-pressed", String(tile.dataset.status === status));
  shown.textContent = `${count} of ${rows.length} shown`;
}

function value(row, column) {
  const cell = row.cells[column];
  return cell === undefined ? undefined : cell.dataset.value;
}

function sort(header, column) {
  const downward = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", downward ? "descending" : "ascending");
  const numeric = header.dataset.sort === "number";
  const order = (left, right) => {
    const [one, other] = [value(left, column), value(right, column)];
    // What has no value comes last, whichever way.
    if (one === undefined || other === undefined) return (one === undefined) - (other === undefined);
    const found = numeric ? one - other : one.localeCompare(other);
    return downward ? -found : found;
  };
  table.tBodies[0].append(...[...rows].sort(order));
}

[...table.tHead.rows[0].cells].forEach((header, column) => {
  if (!header.dataset.sort) return;
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => sort(header, column));
  header.append(button);
});
for (const tile of tiles) {
  tile.setAttribute("role", "button");
  tile.addEventListener("click", (event) => {
    event.preventDefault();
    status = status === tile.dataset.status ? "" : tile.dataset.status;
    filter();
  });
  tile.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      tile.click();
    }
  });
}
search.addEventListener("input", filter);
controls.hidden = false;
filter();
