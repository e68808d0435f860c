// SPDX-License-Identifier: MIT
// Chooses the baseline and sorts tables. The page says all of it without this, only longer.
"use strict";
(function () {
	const root = document.documentElement;
	window.addEventListener("error", event => { root.dataset.error = event.message; });

	function choose(name) {
		root.dataset.base = name;
		for (const button of document.querySelectorAll(".controls button"))
			button.setAttribute("aria-pressed", String(button.dataset.base === name));
	}

	function key(row, column) {
		const cell = row.cells[column];
		return cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
	}

	function sort(head) {
		const table = head.closest("table"), body = table.tBodies[0];
		const column = head.cellIndex, numeric = head.dataset.sort === "number";
		const up = head.getAttribute("aria-sort") !== "ascending";
		for (const other of table.querySelectorAll("th"))
			other.removeAttribute("aria-sort");
		head.setAttribute("aria-sort", up ? "ascending" : "descending");
		const rows = Array.from(body.rows);
		rows.sort((one, other) => {
			const a = key(one, column), b = key(other, column);
			if (!numeric)
				return up ? a.localeCompare(b) : b.localeCompare(a);
			// What has no number goes last, whichever way round.
			if (a === "" || b === "")
				return (a === "") - (b === "");
			return up ? a - b : b - a;
		});
		body.append(...rows);
	}

	function start() {
		const buttons = document.querySelectorAll(".controls button");
		for (const button of buttons)
			button.addEventListener("click", () => choose(button.dataset.base));
		for (const head of document.querySelectorAll("th[data-sort]"))
			head.addEventListener("click", () => sort(head));
		if (buttons.length > 1) {
			root.classList.add("js");
			choose(buttons[0].dataset.base);
		}
		root.dataset.ready = "yes";
	}

	// Closed parts are printed too.
	window.addEventListener("beforeprint", () => {
		for (const part of document.querySelectorAll("details"))
			part.open = true;
	});
	document.addEventListener("DOMContentLoaded", start);
})();
