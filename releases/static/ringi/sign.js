// Ticks everything at once; without JavaScript each tick is set by hand. Fields that must be filled are asked for only
// where their signature is ticked.
const ticks = [...document.querySelectorAll(".r-sign-one > .r-tick input")];
const ask = (tick) => {
  for (const field of tick.closest("section").querySelectorAll("input:not([type=hidden], .r-tick input), textarea, select")) {
    field.dataset.asked ??= field.required ? "1" : "";
    field.required = tick.checked && field.dataset.asked === "1";
  }
};
for (const tick of ticks) {
  ask(tick);
  tick.addEventListener("change", () => ask(tick));
}
for (const button of document.querySelectorAll("[data-tick-all]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    for (const tick of ticks) {
      tick.checked = true;
      ask(tick);
    }
  });
}
