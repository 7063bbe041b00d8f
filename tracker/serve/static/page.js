"use strict";
// Everything that names come from is set as text, never as markup.
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const EVERY_MS = 1000;
let source = 0, names = [], recording = false, events = null;

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function drawn(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function choose(number) {
  source = number;
  byId("picture").src = `stream.mjpg?source=${source}`;
  byId("snapshot").href = `snapshot.jpg?source=${source}`;
  if (events) events.close();
  events = new EventSource(`events?source=${source}`);
  events.addEventListener("crossing", refresh);
}

function showSources(found) {
  if (found.join("\n") === names.join("\n")) return;
  const first = !names.length;
  names = found;
  const select = byId("source");
  select.replaceChildren();
  names.forEach((name, i) => { element("option", name, select).value = i; });
  byId("choice").hidden = names.length < 2;
  if (first) choose(0);
}

function showCounts(rows) {
  const body = byId("counts").tBodies[0];
  body.replaceChildren();
  for (const row of rows) {
    const line = element("tr", undefined, body);
    for (const key of ["line", "direction", "class", "count"]) element("td", row[key], line);
  }
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  byId("total").textContent = total ? `${total} ${total === 1 ? "crossing" : "crossings"}` : "";
  byId("counts").hidden = !rows.length;
  byId("no-counts").hidden = rows.length > 0;
}

function showHour(ways) {
  byId("no-lines").hidden = ways.length > 0;
  const chart = byId("hour"), legend = byId("legend"), width = 420, height = 110;
  chart.replaceChildren();
  legend.replaceChildren();
  const minutes = 60;
  const sums = Array.from({ length: minutes }, (_, i) => ways.reduce((sum, way) => sum + way.counts[i], 0));
  const most = Math.max(1, ...sums);
  drawn("line", { x1: 0, y1: height, x2: width, y2: height, class: "axis" }, chart);
  for (let i = 0; i < minutes; i++) {
    let top = height;
    ways.forEach((way, k) => {
      const tall = way.counts[i] / most * (height - 14);
      if (!tall) return;
      top -= tall;
      const bar = drawn("rect", { x: i * 7 + 1, y: top, width: 5.5, height: tall, class: `c${k % 6}` }, chart);
      drawn("title", {}, bar).textContent = `${minutes - 1 - i} min ago: ${way.line}, ${way.direction}: ${way.counts[i]}`;
    });
  }
  for (const ago of [60, 45, 30, 15]) drawn("text", { x: (60 - ago) * 7, y: 125 }, chart).textContent = `-${ago} min`;
  drawn("text", { x: 0, y: 11 }, chart).textContent = `most in a minute: ${Math.max(...sums, 0)}`;
  ways.forEach((way, k) => {
    const item = element("li", undefined, legend), swatch = drawn("svg", { class: "swatch", viewBox: "0 0 1 1" }, item);
    drawn("rect", { width: 1, height: 1, class: `c${k % 6}` }, swatch);
    item.append(`${way.line}, ${way.direction}: ${way.counts.reduce((a, b) => a + b, 0)}`);
  });
}

function showLatest(rows) {
  const list = byId("latest");
  list.replaceChildren();
  for (const row of rows.slice().reverse()) {
    const speed = row.speed === null ? "" : `, ${row.speed}`;
    element("li", `${row.time.slice(11, 19)}  ${row.line}, ${row.direction}: ${row.class} ${row.id}${speed}`, list);
  }
  byId("no-latest").hidden = rows.length > 0;
}

function showHealth(data) {
  const share = data.dropped / Math.max(1, data.dropped + data.frames);
  const told = {
    "frames a second": data.fps.toFixed(1), "delay": data.delay_s === null ? "-" : `${data.delay_s.toFixed(1)} s`,
    "objects": data.objects, "frames": data.frames,
    "dropped": share ? `${data.dropped} (${Math.ceil(100 * share)} %)` : data.dropped, "reconnects": data.reconnects, "viewers": data.viewers,
  };
  const list = byId("health");
  list.replaceChildren();
  for (const [name, value] of Object.entries(told)) { element("dt", name, list); element("dd", value, list); }
  const warnings = byId("warnings");
  warnings.replaceChildren();
  for (const text of data.warnings) element("li", text, warnings);
  recording = data.recording;
  byId("record").textContent = recording ? "Stop recording" : "Start recording";
  byId("record").setAttribute("aria-pressed", recording);
  const late = data.last_frame_s === null || data.last_frame_s > 5;
  byId("state").textContent = late ? "no frames" : `running, ${data.fps.toFixed(1)} FPS`;
  byId("state").classList.toggle("bad", late);
}

async function refresh() {
  try {
    const [counts, health] = await Promise.all([read("counts.json"), read("health.json")]);
    showSources(health.sources.map((s) => s.source));
    if (!names.length) { byId("state").textContent = "starting"; return; }
    const mine = counts.sources[source];
    byId("name").textContent = mine.source;
    showCounts(mine.counts);
    showHour(mine.hour);
    showLatest(mine.latest);
    showHealth(health.sources[source]);
  } catch {
    byId("state").textContent = "the run does not answer";
    byId("state").classList.add("bad");
  }
}

byId("source").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("record").addEventListener("click", async () => {
  await fetch(`recording?source=${source}`, { method: "POST", body: JSON.stringify({ on: !recording }) });
  refresh();
});
byId("picture").addEventListener("error", () => { setTimeout(() => { if (names.length) choose(source); }, 2000); });
refresh();
setInterval(refresh, EVERY_MS);
