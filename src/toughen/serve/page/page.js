"use strict";
// One page, no library. Everything that comes from a person or the model is put in as text, never as HTML.

const byId = (id) => document.getElementById(id);
const model = JSON.parse(byId("model").textContent);
const all = JSON.parse(byId("say").textContent);
let language = document.documentElement.lang;
const asked = { predict: 0, explain: 0, perturb: 0 }; // answers to an older question are dropped
let seed = 0;
let shown = {}; // the latest answers, drawn again when the language changes

const say = (key, values = {}) =>
  (all[language][key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

const isValue = model.task === "regression";
const percent = (score) => (isValue ? score.toPrecision(4) : `${(100 * score).toFixed(1)}%`);
const signed = (effect) => (effect < 0 ? "−" : "+") + (isValue ? Math.abs(effect).toPrecision(3) : `${(100 * Math.abs(effect)).toFixed(1)}`);

function given(predictions) {
  if (!predictions.length || !("predicted" in predictions[0])) return predictions.slice(0, 1);
  return predictions.filter((one) => one.predicted);
}

function track(score) {
  const outer = make("span", "track");
  outer.append(make("span"));
  outer.firstChild.style.width = `${Math.max(0, Math.min(100, 100 * score))}%`;
  outer.setAttribute("aria-hidden", "true");
  return outer;
}

function drawAnswer(predictions) {
  byId("answer").hidden = false;
  const chosen = new Set(given(predictions));
  const tokens = model.task === "tokens";
  byId("tags").hidden = !tokens;
  byId("tags").replaceChildren();
  byId("bars").replaceChildren();
  for (const one of predictions) {
    if (tokens) {
      const word = make("mark", one.label === "O" ? "" : "for strong", one.word);
      if (one.label !== "O") word.append(make("span", "tag", `${one.label} ${percent(one.score)}`));
      byId("tags").append(word, " ");
      continue;
    }
    const row = make("li", chosen.has(one) ? "given" : "");
    row.append(make("span", "", one.label), make("span", "number", percent(one.score)));
    if (!isValue) row.append(track(one.score));
    byId("bars").append(row);
  }
}

function drawWords(found) {
  byId("why").hidden = false;
  byId("why-note").textContent = say("why_note", { label: found.label, score: percent(found.score) });
  byId("why-choice").hidden = model.labels.length < 2;
  byId("label").value = found.label;
  const pieces = found.texts.flat().filter((piece) => piece.effect !== null);
  const largest = Math.max(...pieces.map((piece) => Math.abs(piece.effect)), isValue ? 1e-9 : 0.02);
  byId("words").replaceChildren();
  for (const part of found.texts) {
    const line = make("p", "marked");
    for (const piece of part) {
      if (piece.effect === null) {
        line.append(piece.text);
        continue;
      }
      const share = Math.abs(piece.effect) / largest;
      const mark = make("mark", (piece.effect < 0 ? "against" : "for") + (share > 0.25 ? " strong" : ""), piece.text);
      mark.style.setProperty("--alpha", (0.55 * share).toFixed(3));
      mark.title = signed(piece.effect);
      line.append(mark);
    }
    byId("words").append(line);
  }
  byId("effects").replaceChildren();
  for (const piece of pieces.sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))) {
    const row = make("tr");
    row.append(make("td", "", piece.text), make("td", "number", signed(piece.effect)));
    byId("effects").append(row);
  }
}

// The parts of a corrupted text that are not in the original: what the longest common subsequence leaves over.
function differing(before, after) {
  const units = (text) => text.match(/\p{Script=Han}|[^\s\p{Script=Han}]+|\s+/gu) ?? [];
  const [a, b] = [units(before), units(after)];
  if (a.length * b.length > 1e6) return b.map((unit) => [unit, false]);
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
  const found = [];
  for (let i = 0, j = 0; j < b.length; ) {
    if (i < a.length && a[i] === b[j]) found.push([b[j], false]), i++, j++;
    else if (i < a.length && best[i + 1][j] >= best[i][j + 1]) i++;
    else found.push([b[j], true]), j++;
  }
  return found;
}

function drawVariants(found, original) {
  byId("typos").hidden = false;
  const count = found.texts.length;
  const changed = found.texts.filter((one) => one.changed).length;
  const note = count === 0 ? "typos_none" : isValue ? "typos_value" : "typos_note";
  byId("typos-note").textContent = say(note, { changed, count });
  byId("variants").replaceChildren();
  const [before] = given(found.predictions);
  for (const one of found.texts) {
    const row = make("li", one.changed ? "turned" : "");
    const text = make("span", "text");
    const parts = [].concat(one.inputs);
    parts.forEach((part, i) => {
      if (i) text.append("\n");
      for (const [unit, isNew] of differing([].concat(original)[i], part)) text.append(isNew && unit.trim() ? make("mark", "", unit) : unit);
    });
    const labels = given(one.predictions);
    const names = labels.map((label) => label.label).join(", ") || say("none");
    const score = (labels[0] ?? one.predictions[0]).score;
    const answer = make("span", "number");
    answer.textContent = `${isValue ? "" : names + " "}${percent(score)}${one.changed ? ` (${say("moved")})` : ""}`;
    row.append(text, make("span", "kind", say(one.corruption)), answer);
    if (!isValue && before) row.append(track(score));
    byId("variants").append(row);
  }
}

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  if (byId("token").value) headers.authorization = `Bearer ${byId("token").value}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => {
    throw new Error(say("unreachable"));
  });
  const found = await response.json().catch(() => ({ error: say("unreachable") }));
  if (response.status === 401) byId("gate").hidden = false;
  if (!response.ok) throw new Error(found.error);
  return found;
}

const inputs = () => (model.kind === "pairs" ? [byId("text").value, byId("pair").value] : byId("text").value);

function fail(error) {
  byId("status").textContent = "";
  byId("error").hidden = false;
  byId("error").textContent = error.message;
}

// Ask some addresses; whichever answers is drawn at once.
async function ask(wanted) {
  const mine = Object.fromEntries(wanted.map((path) => [path, ++asked[path]]));
  const latest = (path) => mine[path] === asked[path];
  const text = inputs();
  byId("error").hidden = true;
  byId("status").textContent = say("working");
  const draw = async (path, body, then) => {
    const found = await post(path, { inputs: text, ...body });
    if (latest(path)) then(found);
  };
  const paths = {
    predict: () => draw("predict", {}, (found) => drawAnswer((shown.predict = found))),
    explain: () => {
      const body = wanted.includes("predict") ? {} : { label: byId("label").value };
      return draw("explain", body, (found) => drawWords((shown.explain = found)));
    },
    perturb: () =>
      draw("perturb", { severity: Number(byId("severity").value), seed }, (found) => {
        shown.perturb = [found, text];
        drawVariants(found, text);
      }),
  };
  try {
    await Promise.all(wanted.map((name) => paths[name]()));
    if (wanted.every(latest)) byId("status").textContent = say("done");
  } catch (error) {
    if (wanted.every(latest)) fail(error);
  }
}

function send(event) {
  event?.preventDefault();
  if (![].concat(inputs()).join("").trim()) {
    byId("text").focus();
    return fail(new Error(say("empty")));
  }
  seed = 0;
  ask(model.task === "tokens" ? ["predict"] : ["predict", "explain", "perturb"]);
}

function speak() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  const about = { task: say(model.task), count: model.labels.length, runtime: model.runtime };
  byId("about").textContent = say(isValue ? "about_value" : "about", about);
  byId("text-label").textContent = say(model.kind === "pairs" ? "first_text" : "text");
  byId("switch").textContent = say("other");
  byId("switch").setAttribute("aria-label", say("other_label"));
  byId("switch").lang = language === "en" ? "zh" : "en";
  byId("status").textContent = "";
  if (shown.predict) drawAnswer(shown.predict);
  if (shown.explain) drawWords(shown.explain);
  if (shown.perturb) drawVariants(...shown.perturb);
}

byId("second").hidden = model.kind !== "pairs";
byId("gate").hidden = !model.guarded;
byId("label").append(...model.labels.map((name) => make("option", "", name)));
byId("form").addEventListener("submit", send);
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
});
byId("label").addEventListener("change", () => ask(["explain"]));
byId("severity").addEventListener("change", () => ask(["perturb"]));
byId("again").addEventListener("click", () => {
  seed += 1;
  ask(["perturb"]);
});
byId("switch").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  speak();
});
speak();
