// Every table as CSV and JSON, made from what is shown when it is asked for.
"use strict";

function texts(row) {
  const whole = (cell) => [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean).join(" ");
  return [...row.cells].map((cell) => whole(cell).replace(/\s+/g, " "));
}

function csv(lines) {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n";
}

function json([head, ...body]) {
  return JSON.stringify(body.map((line) => Object.fromEntries(line.map((text, k) => [head[k], text]))), null, 1) + "\n";
}

const kinds = { csv: ["text/csv", csv], json: ["application/json", json] };
document.querySelectorAll("table").forEach((table, number) => {
  const place = table.closest("section")?.id ?? "answer";
  const links = document.createElement("p");
  links.className = "save";
  for (const [ending, [type, write]] of Object.entries(kinds)) {
    const link = document.createElement("a");
    link.textContent = ending.toUpperCase();
    link.download = `${place}-${number + 1}.${ending}`;
    link.href = "#";
    link.addEventListener("click", () => {
      link.href = `data:${type};charset=utf-8,${encodeURIComponent(write([...table.rows].map(texts)))}`;
    });
    links.append(link);
  }
  table.parentElement.after(links);
});
