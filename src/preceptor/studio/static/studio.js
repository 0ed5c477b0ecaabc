// Keys: an element with data-key="x" is clicked when x is pressed outside a text field.
"use strict";
const writes = (element) =>
  element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || writes(event.target)) return;
  const wanted = [...document.querySelectorAll("[data-key]")].find(
    (element) => element.dataset.key.split(" ").includes(event.key) && !element.disabled,
  );
  if (wanted) {
    event.preventDefault();
    wanted.click();
  }
});
