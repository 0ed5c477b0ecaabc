// Rating: remembered folds, focus keys, the help, and a list of candidates that is ordered by drag, keys or buttons.
"use strict";

const fold = (details) => {
  const name = `preceptor-${details.dataset.remember}`;
  const kept = localStorage.getItem(name);
  if (kept === null && details.open && matchMedia("(max-width: 46rem)").matches) details.open = false;
  else if (kept !== null && !details.querySelector("textarea:not(:placeholder-shown)")?.value) details.open = kept === "open";
  // The click comes before its effect, and also from the keyboard; what the page folds by itself is not remembered.
  details.querySelector("summary").addEventListener("click", () => localStorage.setItem(name, details.open ? "shut" : "open"));
};

const openAround = (element) => {
  const around = element.closest("details");
  if (around) around.open = true;
};

const keys = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target.matches("textarea, input:not([type=radio]):not([type=checkbox]), select");
  if (event.key === "Escape" && inField) return event.target.blur();
  if (inField) return;
  const field = document.querySelector(`[data-focus="${CSS.escape(event.key)}"]`);
  if (field) {
    event.preventDefault();
    openAround(field);
    field.focus();
  }
  if (["7", "8", "9", "f"].includes(event.key)) openAround(document.querySelector("[name=flagged]"));
};

class Ranking {
  // The list's items stand in the rater's order; an item with the class "tied" shares the rank of the one above.
  constructor(list) {
    this.list = list;
    this.said = document.querySelector("[data-announce]");
    list.classList.add("ready");
    this.arrangeAsGiven();
    for (const item of this.items) {
      item.draggable = true;
      item.querySelector(".rank-field").hidden = true;
      item.querySelector(".moves").hidden = false;
      item.addEventListener("dragstart", (event) => {
        this.dragged = item;
        item.classList.add("dragged");
        event.dataTransfer.effectAllowed = "move";
      });
      item.addEventListener("dragend", () => {
        item.classList.remove("dragged");
        this.number(`Response ${this.letter(item)} is now at place ${this.items.indexOf(item) + 1}.`);
      });
    }
    list.addEventListener("dragover", (event) => this.dragOver(event));
    list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-move]");
      if (button) this.move(button.closest("li"), button.dataset.move);
    });
    document.addEventListener("keydown", (event) => this.key(event), true);
    this.number("");
  }

  get items() {
    return [...this.list.children];
  }

  letter(item) {
    return item.querySelector(".letter").textContent;
  }

  arrangeAsGiven() {
    const rank = (item) => Number(item.querySelector("input").value || 0);
    if (!this.items.every(rank)) return;
    const sorted = this.items.sort((one, other) => rank(one) - rank(other));
    this.list.append(...sorted);
    sorted.forEach((item, i) => item.classList.toggle("tied", i > 0 && rank(item) === rank(sorted[i - 1])));
  }

  dragOver(event) {
    if (!this.dragged) return;
    event.preventDefault();
    const over = event.target.closest("li");
    if (!over || over === this.dragged || over.parentElement !== this.list) return;
    const box = over.getBoundingClientRect();
    const after = event.clientY > box.top + box.height / 2;
    this.dragged.classList.remove("tied");
    over[after ? "after" : "before"](this.dragged);
  }

  move(item, how) {
    const place = this.items.indexOf(item);
    if (how === "tie") {
      if (place > 0) item.classList.toggle("tied");
    } else {
      this.put(item, place + (how === "up" ? -1 : 1));
    }
    const tied = item.classList.contains("tied");
    item.focus();
    this.number(`Response ${this.letter(item)} is ${tied ? "tied with the one above" : `at place ${this.items.indexOf(item) + 1}`}.`);
  }

  put(item, place) {
    const others = this.items.filter((other) => other !== item);
    const to = Math.max(0, Math.min(place, others.length));
    item.classList.remove("tied");
    if (to === others.length) this.list.append(item);
    else others[to].before(item);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, input[type=number]")) return;
    const focused = document.activeElement.closest?.("[data-ranking] > li");
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const place = Number(event.key);
    if (step && event.shiftKey && focused) this.move(focused, step < 0 ? "up" : "down");
    else if (step) this.items[Math.max(0, Math.min(this.items.length - 1, focused ? this.items.indexOf(focused) + step : 0))].focus();
    else if (focused && event.key === "=") this.move(focused, "tie");
    else if (focused && place >= 1 && place <= this.items.length && place < 7) {
      this.put(focused, place - 1);
      focused.focus();
      this.number(`Response ${this.letter(focused)} is at place ${this.items.indexOf(focused) + 1}.`);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  number(said) {
    let rank = 0;
    this.items[0]?.classList.remove("tied");
    this.items.forEach((item, i) => {
      const tied = item.classList.contains("tied");
      if (!tied) rank = i + 1;
      item.querySelector("input").value = rank;
      item.querySelector(".rank").textContent = `${rank}.`;
      item.querySelector('[data-move="tie"]').setAttribute("aria-pressed", String(tied));
    });
    if (said) this.said.textContent = said;
  }
}

const prepare = () => {
  const list = document.querySelector("[data-ranking]:not(.ready)");
  if (list) new Ranking(list);
};

document.querySelectorAll("details[data-remember]").forEach(fold);
document.addEventListener("keydown", keys);
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) document.querySelector("#help").showModal();
});
document.addEventListener("htmx:afterSettle", prepare);
prepare();
