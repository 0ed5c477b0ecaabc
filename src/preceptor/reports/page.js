"use strict";
// A page is whole without this script. It adds a search among the responses, and a CSV of every table.
(() => {
  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);

  // A cell that a spreadsheet would compute gets a quote in front, which makes it text; numbers stay numbers.
  const csvCell = (text) => {
    const value = text.replace(/\s+/g, " ").trim();
    const isNumber = /^[+-]?[\d,]*\.?\d+ ?%?$/.test(value);
    const safe = /^[=+\-@|%\uff1d\uff0b\uff0d\uff20]/.test(value) && !isNumber ? `'${value}` : value;
    return `"${safe.replaceAll('"', '""')}"`;
  };

  // A cell's text without its interval, and the two ends of the interval.
  const parts = (cell) => {
    const copy = cell.cloneNode(true);
    const interval = copy.querySelector(".interval");
    const ends = interval ? interval.textContent.replace(/[[\]]/g, "").trim().split(/, /) : [];
    if (interval) interval.remove();
    for (const br of copy.querySelectorAll("br")) br.replaceWith(" ");
    return [copy.textContent, ends[0] || "", ends[1] || ""];
  };

  // The rows of a table; a cell that spans several rows or columns stands in each of them.
  const grid = (table) => {
    const rows = [...table.rows].map(() => []);
    [...table.rows].forEach((row, y) => {
      for (const cell of row.cells) {
        let x = 0;
        while (rows[y][x]) x += 1;
        for (let down = 0; down < cell.rowSpan; down += 1)
          for (let right = 0; right < cell.colSpan; right += 1) rows[y + down][x + right] = parts(cell);
      }
    });
    return rows;
  };

  const csvOf = (table) => {
    const rows = grid(table);
    const wide = rows[0].map((_, i) => rows.some((row) => row[i] && row[i][1] !== ""));
    const head = rows[0].flatMap(([name], i) => (wide[i] ? [name, `${name}, 95% from`, `${name}, 95% to`] : [name]));
    const body = rows.slice(1).map((row) => row.flatMap((cell, i) => (wide[i] ? cell : [cell[0]])));
    return [head, ...body].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
  };

  for (const box of document.querySelectorAll(".table")) {
    const name = box.getAttribute("aria-label") || "table";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "csv";
    button.textContent = "CSV";
    button.setAttribute("aria-label", `Download as CSV: ${name}`);
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(["\ufeff", csvOf(box.querySelector("table"))], { type: "text/csv" }));
      link.download = `${slug(document.title)}-${slug(name)}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    box.after(button);
  }

  for (const section of document.querySelectorAll(".responses")) {
    const bar = section.querySelector(".search");
    const every = section.querySelector("details.every");
    const picked = section.querySelector(".picked");
    if (!bar || !every) continue;
    const rows = [...every.querySelectorAll("article")];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    bar.hidden = false;
    bar.querySelector("input").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        found += row.hidden ? 0 : 1;
      });
      if (picked) picked.hidden = words.length > 0;
      every.open = words.length > 0;
      bar.querySelector("output").textContent = words.length ? `${found} of ${rows.length} found` : "";
    });
  }
})();
