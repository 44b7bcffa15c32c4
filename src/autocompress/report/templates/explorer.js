"use strict";
// Move the page to another depth. Every text and position is in the page already; nothing is computed.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id)?.textContent || "null");
  const all = (selector) => [...document.querySelectorAll(selector)];
  const data = read("data");
  const dial = document.getElementById("depth");
  const reset = document.getElementById("reset");
  document.documentElement.classList.add("scripted");

  const move = (cursor, place) => {
    cursor.style.visibility = place ? "visible" : "hidden";
    if (!place) return;
    cursor.querySelector(".stem").setAttribute("transform", `translate(${place[0]} 0)`);
    cursor.querySelector(".ring").setAttribute("transform", `translate(${place[0]} ${place[1]})`);
  };
  const cursors = (selector) =>
    all(selector).map((cursor) => [cursor, JSON.parse(cursor.dataset.places)]);
  const exitChart = document.getElementById("threshold")?.closest(".pair");
  const depthCursors = cursors(".cursor").filter(([cursor]) => !exitChart?.contains(cursor));
  const lines = all("[data-by-depth]").map((line) => [line, line.dataset.byDepth.split("|")]);
  const cells = all("[data-cell]");

  const showClasses = (k) => {
    (data.accuracy[k] || []).forEach((score, n) => {
      document.querySelector(`[data-bar="${n}"]`).style.width = `${score ? 100 * score[0] : 0}%`;
      document.querySelector(`[data-rate="${n}"]`).textContent = score ? score[1] : "\u2013";
    });
    let place = 0;
    for (const row of data.confusion[k] || []) {
      const total = row.reduce((sum, count) => sum + count, 0);
      for (const count of row) {
        const cell = cells[place++];
        cell.textContent = count || "";
        cell.style.setProperty("--v", total ? count / total : 0);
      }
    }
  };

  const show = (k) => {
    const state = data.states[k];
    for (const place of all("[data-show]")) place.textContent = state[place.dataset.show];
    dial.value = k;
    dial.setAttribute("aria-valuetext", state.spoken);
    reset.disabled = k === data.kept;
    for (const [cursor, places] of depthCursors) move(cursor, places[k]);
    for (const [line, paths] of lines) line.setAttribute("d", paths[Math.min(k, paths.length - 1)]);
    for (const bar of all(".strip span")) bar.classList.toggle("here", Number(bar.dataset.depth) === k);
    for (const answer of all("[data-answer]"))
      answer.textContent = data.examples[answer.dataset.answer][k];
    showClasses(k);
  };
  dial.addEventListener("input", () => show(Number(dial.value)));
  reset.addEventListener("click", () => { show(data.kept); dial.focus(); });
  show(Number(dial.value)); // a browser may restore the dial of an earlier visit

  const tip = document.getElementById("tip");
  for (const spot of all(".spot")) {
    spot.querySelector("title").remove();
    spot.addEventListener("pointermove", (event) => {
      tip.textContent = spot.dataset.tip;
      tip.hidden = false;
      const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(8, left)}px`;
      tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
    });
    spot.addEventListener("pointerleave", () => { tip.hidden = true; });
    spot.addEventListener("click", () => show(Number(spot.dataset.depth)));
  }

  const exits = read("exits");
  const threshold = document.getElementById("threshold");
  if (exits && threshold) {
    const exitCursors = cursors(".cursor").filter(([cursor]) => exitChart.contains(cursor));
    const choose = () => {
      const state = exits[threshold.value];
      for (const place of all("[data-exit]")) place.textContent = state[place.dataset.exit];
      threshold.setAttribute("aria-valuetext", `${state.exit_threshold}: ${state.exit_score}`);
      for (const [cursor, places] of exitCursors) move(cursor, places[threshold.value]);
    };
    threshold.addEventListener("input", choose);
    choose();
  }

  for (const word of all(".term")) {
    const place = () => {
      const box = word.querySelector("[role=tooltip]");
      word.classList.remove("closed");
      box.style.marginLeft = "0";
      const over = box.getBoundingClientRect().right - document.documentElement.clientWidth + 8;
      if (over > 0) box.style.marginLeft = `${-over}px`;
    };
    word.addEventListener("pointerenter", place);
    word.addEventListener("focusin", place);
    word.addEventListener("keydown", (event) => {
      if (event.key === "Escape") word.classList.add("closed");
    });
  }

  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren(text); // the reader copies what is selected
      }
    });
  }
  addEventListener("beforeprint", () => { for (const part of all("details")) part.open = true; });
})();
