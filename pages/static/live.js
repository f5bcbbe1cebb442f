// Keeps the page honest between messages: ages count on, old values say so, and a lost hub is told at once.
(() => {
  "use strict";
  const SILENT_AFTER_MS = 12000; // the hub sends at least every 5 s
  const RETRY_MS = 1000;
  const events = document.getElementById("events");
  const link = document.getElementById("link");
  const ages = JSON.parse(document.body.dataset.ages);
  let ahead = Date.parse(document.body.dataset.now) - Date.now(); // the hub's clock less this computer's
  let heardAt = Date.now();
  let isLost = null;

  function show(lost) {
    if (!link || lost === isLost) return;
    isLost = lost;
    document.body.classList.toggle("is-lost", lost);
    link.textContent = lost ? link.dataset.lost : link.dataset.live;
    link.className = lost ? "link link-lost" : "link link-live";
  }

  function age(seconds) {
    const [least, words] = ages.find(([least]) => seconds >= least);
    return words.replace("%(n)s", String(Math.floor(seconds / (least || 1))));
  }

  function countOn() {
    const now = Date.now() + ahead;
    for (const node of document.querySelectorAll("time.age")) {
      const seconds = Math.max(0, (now - Date.parse(node.dateTime)) / 1000);
      const words = age(seconds);
      if (node.textContent !== words) node.textContent = words;
      const tile = node.closest("[data-old-after]");
      if (tile) tile.classList.toggle("is-old", seconds > Number(tile.dataset.oldAfter));
    }
    if (!events) return;
    if (Date.now() - heardAt > SILENT_AFTER_MS) show(true);
  }

  // hx-sse connects again by itself once it was connected; a first connection that failed is left to us.
  function connectAgain() {
    if (events._htmx && events._htmx.sse) return;
    show(true);
    setTimeout(() => htmx.trigger(events, "retry"), RETRY_MS);
  }

  function readNow() {
    const parts = [];
    for (const node of document.querySelectorAll("#alerts h3, #alerts .calm")) parts.push(node.textContent);
    for (const tile of document.querySelectorAll(".tile")) {
      parts.push(tile.querySelector("dt").textContent + " " + tile.querySelector("dd").textContent);
    }
    document.getElementById("read-aloud").textContent = parts.join(". ").replace(/\s+/g, " ");
  }

  if (events) {
    events.addEventListener("htmx:sse:before:connection", (event) => {
      if (event.detail.connection.attempt > 0) show(true);
    });
    events.addEventListener("htmx:finally:request", connectAgain);
    // Only what was heard counts: a hub that is stopping still accepts connections.
    events.addEventListener("htmx:sse:before:message", () => { heardAt = Date.now(); show(false); });
    events.addEventListener("clock", (event) => { ahead = Date.parse(event.detail.data) - Date.now(); });
    const button = document.getElementById("read-now");
    button.hidden = false;
    button.addEventListener("click", readNow);
  }
  setInterval(countOn, 1000);
})();
