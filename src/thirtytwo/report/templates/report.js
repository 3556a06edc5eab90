"use strict";
// Nothing here is needed to read the page: tables can be sorted, enlarged pictures have keys, and all of it is printed.
const value = (row, column) => {
  const cell = row.cells[column];
  return cell ? (cell.dataset.sort ?? cell.textContent).trim() : "";
};
const number = (text) => (/^[+\u2212-]?[\d.,]/.test(text) ? parseFloat(text.replace(/,/g, "").replace("\u2212", "-")) : NaN);
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  return isNaN(x) || isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
};
for (const table of document.querySelectorAll("table.sort")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      const there = rows.filter(([text]) => text && text !== "\u2013");
      const missing = rows.filter(([text]) => !text || text === "\u2013"); // last, whichever way
      there.sort(([a], [b]) => sign * compare(a, b));
      body.append(...[...there, ...missing].map(([, row]) => row));
    });
  });
}
document.addEventListener("keydown", (event) => {
  const way = { Escape: ".close", ArrowLeft: ".before", ArrowRight: ".after" }[event.key];
  const link = way && document.querySelector(`.shot:target ${way}`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
