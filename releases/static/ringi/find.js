// Finds a text in the log that is shown: marks every place, Enter goes to the next one. Without JavaScript, or with a
// browser that cannot mark, the form asks the server for the lines of the whole log.
(() => {
  const field = document.querySelector("[data-find]");
  const log = document.querySelector("[data-log]");
  const said = document.querySelector("[data-found]");
  if (!field || !log || !window.Highlight || !CSS.highlights) return;
  let at = -1;
  let places = [];
  const plain = (text) => text.toLowerCase().replace(/[！-～]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0));
  const find = () => {
    places = [];
    at = -1;
    const wanted = plain(field.value);
    if (wanted) {
      for (const node of log.childNodes) {
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
    said.value = wanted ? String(places.length) : "";
  };
  field.addEventListener("input", find);
  field.form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!places.length) find();
    if (!places.length) return;
    at = (at + 1) % places.length;
    const place = places[at].getBoundingClientRect();
    log.scrollTop += place.top - log.getBoundingClientRect().top - log.clientHeight / 2;
    said.value = `${at + 1} / ${places.length}`;
  });
})();
