// Keys: an element with data-key="x" is clicked when x is pressed outside a text field.
"use strict";
const writes = (element) =>
  element.matches("textarea, select, input:not([type=radio]):not([type=checkbox])") || element.isContentEditable;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || writes(event.target)) return;
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return; // it presses what has the focus
  const wanted = [...document.querySelectorAll("[data-key]")].find(
    (element) => element.dataset.key.split(" ").includes(event.key) && !element.disabled,
  );
  if (wanted) {
    event.preventDefault();
    wanted.click();
  }
});
