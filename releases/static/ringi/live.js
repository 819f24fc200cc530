// Keeps a page up to date: a stream says that something on it has changed, or the page asks every few seconds; then it
// fetches itself and takes over what differs. What a person is doing stays: focus, open details, typed text, the place.
(() => {
  const said = document.querySelector("[data-live]");
  const main = document.querySelector("main.ringi");
  if (!said || !main) return;
  const words = said.dataset;
  const PAUSE = Number(words.livePause); // milliseconds between two fetches at least
  const ASK = 5000; // and between two questions without a stream
  let source = null;
  let newest = null;
  let waiting = null;
  let failed = 0; // times that the stream broke off since it was last open
  let asked = 0;
  let last = Date.now();
  let state = "now";

  const clock = () => new Date(last).toLocaleTimeString(document.documentElement.lang || "ja", { hour12: false });
  const say = (what) => {
    state = what;
    said.hidden = false;
    said.classList.toggle("lost", what !== "now");
    said.textContent = what === "now" ? `${words.now} · ${words.at} ${clock()}` : `${words[what]} ${clock()}`;
  };

  // What a person has typed or chosen in a field and not sent.
  const touched = (field) =>
    field.matches("input[type=checkbox], input[type=radio]") ? field.checked !== field.defaultChecked
    : field.matches("select") ? [...field.options].some((o) => o.selected !== o.defaultSelected)
    : field.matches("input, textarea") && field.value !== field.defaultValue;
  const busy = (node) =>
    node.nodeType === 1 && (node.contains(document.activeElement) && document.activeElement !== document.body
      || [node, ...node.querySelectorAll("input, select, textarea")].some(touched));
  // A link or button never becomes another one: it may be about to be pressed.
  const key = (node) => node.nodeType !== 1 ? `#${node.nodeType}`
    : `${node.tagName} ${node.id || node.dataset.key || node.getAttribute("href") || (node.tagName === "BUTTON" && node.value) || (node.tagName === "DETAILS" ? node.querySelector("summary")?.textContent : "")}`;
  const alike = (old, fresh) => old.nodeType === fresh.nodeType && key(old) === key(fresh);

  const take = (old, fresh) => {
    if (old.isEqualNode(fresh) || old.nodeType !== 1) {
      if (old.nodeType !== 1 && old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.hasAttribute("data-kept") && fresh.hasAttribute("data-kept") && old.dataset.kept === fresh.dataset.kept) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS") && name !== "title") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !(old.matches("input, textarea, select") && touched(old))) old.setAttribute(name, value);
    }
    // Children that are alike stay, in the order of the fresh page; what a person is in stays as well.
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      let found = at;
      while (found && !alike(found, child)) found = found.nextSibling;
      if (!found) {
        old.insertBefore(document.importNode(child, true), at);
        continue;
      }
      while (at !== found) {
        const gone = at;
        at = at.nextSibling;
        if (!busy(gone)) gone.remove();
      }
      at = found.nextSibling;
      take(found, child);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      if (!busy(gone)) gone.remove();
    }
  };

  // What the pointer is on. When an update has put something else there, a press was meant for what was there before.
  let pointer = null;
  let moved = 0;
  const HELD = 700; // milliseconds in which such a press does nothing
  const pressable = () => pointer && document.elementFromPoint(...pointer)?.closest("a, button, summary, label, input");
  for (const name of ["pointermove", "pointerdown"]) {
    document.addEventListener(name, (event) => { pointer = [event.clientX, event.clientY]; }, { passive: true });
  }
  document.addEventListener("click", (event) => {
    if (event.detail === 0 || Date.now() - moved >= HELD || !main.contains(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  const fetched = async () => {
    waiting = null;
    try {
      const answer = await fetch(window.location.href, { credentials: "same-origin", headers: { "X-Ringi-Live": "1" } });
      if (answer.redirected || answer.status === 403 || answer.status === 404) return end();
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main.ringi");
      const own = page.querySelector("[data-live]");
      if (!fresh || !own) return end();
      const before = pressable();
      take(main, fresh);
      for (const part of document.querySelectorAll("[data-live-part]")) {
        const other = page.querySelector(`[data-live-part="${part.dataset.livePart}"]`);
        if (other) take(part, other);
      }
      if (pressable() !== before) moved = Date.now();
      last = Date.now();
      say("now");
      document.dispatchEvent(new CustomEvent("ringi:updated"));
      const others = own.dataset.liveRows !== words.liveRows;
      Object.assign(words, { live: own.dataset.live, liveRows: own.dataset.liveRows });
      if (others && source) listen();
    } catch {
      say("lost");
      if (!source) update(ASK);
    }
  };
  const update = (pause) => {
    waiting ??= window.setTimeout(fetched, Math.max(pause, PAUSE - (Date.now() - last)));
  };
  const end = () => {
    source?.close();
    source = null;
    say("ended");
  };

  const ask = async () => {
    if (state === "ended" || source) return;
    try {
      const answer = await fetch(`${words.liveAsked}?of=${encodeURIComponent(words.live)}`, { credentials: "same-origin", headers: { "X-Ringi-Live": "1" } });
      if (answer.redirected || answer.status === 403 || answer.status === 410) return end();
      if (!answer.ok) throw new Error(String(answer.status));
      const seen = (await answer.json()).newest;
      if (newest !== null && seen !== newest || state === "lost") update(0);
      newest = seen;
    } catch {
      say("lost");
    }
    asked += 1;
    if (words.liveStream && asked % 12 === 0) return listen();
    window.setTimeout(ask, document.hidden ? 6 * ASK : ASK);
  };

  const listen = () => {
    source?.close();
    source = new EventSource(`${words.liveStream}?of=${encodeURIComponent(words.live)}`, { withCredentials: true });
    source.onopen = () => {
      failed = 0;
      if (state === "lost") update(0);
    };
    source.addEventListener("changed", () => update(0));
    source.addEventListener("end", () => { end(); fetched(); });
    source.onerror = () => {
      failed += 1;
      if (state === "now") say("lost");
      if (source?.readyState !== EventSource.CLOSED && failed < 3) return; // the browser tries again by itself
      source?.close();
      source = null;
      newest = null;
      failed = 0;
      ask();
    };
  };

  // A browser has few connections to one server: a page that nobody sees keeps none.
  let rests = false;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
      rests = true;
    } else if (!document.hidden && rests) {
      rests = false;
      listen();
      update(0);
    }
  });

  say("now");
  if (words.liveStream && window.EventSource) listen();
  else ask();
  const every = Number(words.liveEvery) * 1000;
  if (every) window.setInterval(() => { if (!document.hidden && state !== "ended") update(0); }, every);
})();
