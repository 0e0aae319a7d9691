"use strict";
// The page's only script: it adds sorting, filters, the slider and the theme to what can be read without it. It asks for nothing.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, facts = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) name in element && name !== "list" ? (element[name] = value) : element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  // Theme: the system's until the button is pressed; kept where the browser lets a file keep something.
  const root = document.documentElement;
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const stored = (value) => { try { return value ? localStorage.setItem("robustbench-cv-theme", value) : localStorage.getItem("robustbench-cv-theme"); } catch { return null; } };
  const theme = make("button", { type: "button", className: "theme" });
  const say = () => { theme.textContent = dark() ? "Light theme" : "Dark theme"; };
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; stored(root.dataset.theme); say(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  say();
  document.querySelector("nav").append(theme);

  // Tables: by value, within each block of rows; what has no value comes last.
  const value = (cell) => {
    if (!cell) return null;
    if (cell.dataset.sort !== undefined) return cell.dataset.sort === "" ? null : Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return text === "" || text === "–" ? null : text;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b, "en", { numeric: true });
  for (const table of all("table.data")) {
    const rows = all("tbody tr:not(.block)", table);
    if (rows.length < 2) continue;
    const heads = all("thead tr.names th", table);
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending" ? false : head.getAttribute("aria-sort") === "ascending" || (head.classList.contains("num"));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        for (const body of table.tBodies) {
          const own = all("tr:not(.block)", body).map((row) => [value(row.children[column]), row]);
          own.sort(([a], [b]) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : (down ? -1 : 1) * compare(a, b));
          body.append(...own.map(([, row]) => row));
        }
      });
    });
    if (rows.length < 8) continue;
    const box = make("input", { type: "search" });
    const count = make("span", { "aria-live": "polite" });
    table.closest(".scroll").before(make("div", { className: "find" }, make("label", {}, "Filter rows ", box), count));
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const body of table.tBodies) {
        const block = body.querySelector("tr.block");
        const name = block ? block.textContent.toLowerCase() : "";
        let here = 0;
        for (const row of all("tr:not(.block)", body)) {
          const text = `${name} ${row.textContent.toLowerCase()}`;
          row.hidden = !words.every((word) => text.includes(word));
          here += !row.hidden;
        }
        if (block) block.hidden = here === 0;
        shown += here;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
  }

  // Pictures: one filter for all models of a task.
  for (const pictures of all(".pictures")) {
    const models = all("details.model", pictures), tiles = all(".tile", pictures);
    const conditions = [...new Set(tiles.map((tile) => tile.dataset.condition))].filter((name) => name !== "clean");
    const choose = (label, options) => {
      const select = make("select", {}, ...options.map(([text, value]) => make("option", { value }, text)));
      return [make("label", {}, `${label} `, select), select];
    };
    const [modelLabel, model] = choose("Model", [["all", ""], ...models.map((one) => [one.dataset.model, one.dataset.model])]);
    const [conditionLabel, condition] = choose("Condition", [["all", ""], ...conditions.map((name) => [name, name])]);
    const [outcomeLabel, outcome] = choose("Outcome", [["all", ""], ["broken", "broken"], ["held", "held"]]);
    const count = make("span", { "aria-live": "polite" });
    pictures.querySelector("h3").after(make("div", { className: "find" }, ...(models.length > 1 ? [modelLabel] : []), conditionLabel, outcomeLabel, count));
    const filter = () => {
      const filtered = Boolean(condition.value || outcome.value || model.value);
      let shown = 0;
      for (const one of models) {
        one.hidden = Boolean(model.value) && one.dataset.model !== model.value;
        if (!one.hidden && filtered) one.open = true;
        for (const strip of all(".strip", one)) {
          let here = 0;
          for (const tile of all(".tile", strip)) {
            const clean = tile.dataset.condition === "clean";
            tile.hidden = !clean && ((Boolean(condition.value) && tile.dataset.condition !== condition.value) || (Boolean(outcome.value) && tile.dataset.outcome !== outcome.value));
            here += !clean && !tile.hidden;
          }
          strip.hidden = here === 0;
          shown += one.hidden ? 0 : here;
        }
      }
      count.textContent = filtered ? `${shown} picture${shown === 1 ? "" : "s"}` : "";
    };
    for (const select of [model, condition, outcome]) select.addEventListener("change", filter);
  }

  // Enlarged: the clean image under the edited one, with a slider between them. The dialog hands focus back where it came from.
  const dialog = make("dialog", { "aria-labelledby": "enlarged" });
  document.body.append(dialog);
  const show = (...children) => { dialog.replaceChildren(...children); if (!dialog.open) dialog.showModal(); };
  const head = (title, text, ...buttons) => {
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    return make("header", {}, make("div", {}, make("h2", { id: "enlarged" }, title), make("p", {}, text)), make("div", { className: "buttons" }, ...buttons, close));
  };
  let from = null;
  dialog.addEventListener("close", () => { dialog.replaceChildren(); if (from && from.isConnected) from.focus(); from = null; });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  const enlarge = (tile, cut = 50, layers = null, focus = "input[type=range]") => {
    const strip = tile.closest(".strip"), tiles = all(".tile", strip).filter((one) => !one.hidden && one.querySelector("svg"));
    const at = tiles.indexOf(tile), clean = strip.querySelector(".tile.clean svg"), picture = tile.querySelector("svg");
    const step = (by, text) => {
      const button = make("button", { type: "button", disabled: !tiles[at + by] }, text);
      button.addEventListener("click", () => enlarge(tiles[at + by], slide ? slide.value : cut, chosen(), by < 0 ? ".back" : ".on"));
      button.classList.add(by < 0 ? "back" : "on");
      return button;
    };
    const copy = (svg) => { const made = svg.cloneNode(true); made.removeAttribute("style"); return made; };
    const isClean = tile.classList.contains("clean");
    const stage = make("div", { className: "stage" }, copy(clean || picture));
    let slide = null, bar = "";
    if (!isClean && clean) {
      stage.append(make("div", { className: "over" }, copy(picture)), make("div", { className: "line" }));
      slide = make("input", { type: "range", min: "0", max: "100", value: String(cut), "aria-label": "How much of the clean image is shown" });
      const move = () => stage.style.setProperty("--cut", `${slide.value}%`);
      slide.addEventListener("input", move);
      move();
      bar = make("div", { className: "slide" }, "clean", slide, tile.dataset.condition);
    }
    const boxes = all(".layers input", tile.closest(".gallery")).map((input) => {
      const own = input.cloneNode();
      own.checked = layers ? layers[input.className] : input.checked;
      return [own, make("label", {}, own, ` ${input.parentElement.textContent.trim()}`)];
    });
    const chosen = () => Object.fromEntries(boxes.map(([own]) => [own.className, own.checked]));
    const says = tile.querySelector(".says");
    const text = [strip.querySelector("h4 a").textContent, says ? says.textContent.trim() : "", tile.querySelector(".gain")?.textContent ?? ""].filter(Boolean).join(" · ");
    show(head(tile.dataset.condition, text, step(-1, "Previous"), step(1, "Next")), stage, bar, make("div", { className: "layers" }, ...boxes.map(([, label]) => label)));
    dialog.classList.remove("wide");
    const wanted = dialog.querySelector(focus);
    (wanted && !wanted.disabled ? wanted : dialog.querySelector("input, button:not([disabled])")).focus();
  };
  for (const tile of all(".tile")) {
    const svg = tile.querySelector("svg");
    if (!svg) continue;
    const button = make("button", { type: "button", "aria-label": `Enlarge: ${svg.getAttribute("aria-label")}` });
    svg.replaceWith(button);
    svg.removeAttribute("role");
    svg.removeAttribute("aria-label");
    svg.setAttribute("aria-hidden", "true");
    button.append(svg);
    button.addEventListener("click", () => { from = button; enlarge(tile); });
  }
  for (const image of all(".chart img")) {
    const title = image.closest("article").querySelector("h3").textContent;
    const button = make("button", { type: "button", className: "zoom", "aria-label": `Enlarge: ${title}` });
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => { from = button; dialog.classList.add("wide"); show(head(title, ""), image.cloneNode()); });
  }

  // A link into something folded unfolds it; paper shows everything.
  const unfold = (element) => { for (let one = element; one; one = one.parentElement) if (one instanceof HTMLDetailsElement) one.open = true; };
  const follow = () => { const target = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (target) { unfold(target); target.scrollIntoView(); } };
  addEventListener("hashchange", follow);
  if (location.hash) follow();
  let folded = [];
  addEventListener("beforeprint", () => { folded = all("details:not([open])"); folded.forEach((one) => { one.open = true; }); });
  addEventListener("afterprint", () => { folded.forEach((one) => { one.open = false; }); });
})();
