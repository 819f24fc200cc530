// Finds a text in the log that is shown: marks every place, Enter goes to the next one. Without JavaScript, or with a
// browser that cannot mark, the form asks the server for the lines of the whole log.
(() => {
  if (!window.Highlight || !CSS.highlights) return;
  const one = (name) => document.querySelector(`[${name}]`); // the page is kept up to date, and its parts change
  let at = -1;
  let places = [];
  const plain = (text) => text.toLowerCase().replace(/[！-～]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0));
  const find = () => {
    places = [];
    at = -1;
    const wanted = plain(one("data-find").value);
    if (wanted) {
      for (const node of one("data-log").childNodes) {
        const text = plain(node.data ?? "");
        for (let index = text.indexOf(wanted); index >= 0; index = text.indexOf(wanted, index + wanted.length)) {
          const range = new Range();
          range.setStart(node, index);
          range.setEnd(node, index + wanted.length);
          places.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...places));
    one("data-found").value = wanted ? String(places.length) : "";
  };
  document.addEventListener("input", (event) => event.target.matches("[data-find]") && find());
  document.addEventListener("submit", (event) => {
    if (!event.target.querySelector("[data-find]") || !one("data-log")) return;
    event.preventDefault();
    if (!places.length) find();
    if (!places.length) return;
    at = (at + 1) % places.length;
    const log = one("data-log");
    const place = places[at].getBoundingClientRect();
    log.scrollTop += place.top - log.getBoundingClientRect().top - log.clientHeight / 2;
    one("data-found").value = `${at + 1} / ${places.length}`;
  });
})();
