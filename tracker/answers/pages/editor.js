"use strict";
// Shapes as the scene file holds them, points as shares of the picture: {kind, name, points, directions?, sides_m?, unit?}.
const KINDS = { line: "Line", zone: "Zone", ignore: "Ignored area", ground: "Ground" };
const COLOURS = { line: "#ffdc3c", zone: "#50c8ff", ignore: "#b0b0b0", ground: "#78dc78" };
const FULL = { line: 2, ground: 4 };
const NEAR = 9;
const HINTS = {
  line: "Click where a line begins, then where it ends. Counts go to your right and to your left as you look along it.",
  zone: "Click the corners in turn; Enter, or a click on the first corner, closes the zone.",
  ignore: "Click the corners of an area in which nothing is to be counted; Enter closes it.",
  ground: "Click the four corners of a rectangle on the ground, then give its sides in metres.",
};
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d");
let shapes = [], drawing = [], mode = "line", dragged = null, history = [], suggested = [], pointer = null;

const remember = () => { history.push(JSON.stringify(shapes)); if (history.length > 200) history.shift(); };
const say = (text, bad = false) => { $("hint").textContent = text; $("hint").className = bad ? "bad" : ""; };
const toPixels = ([x, y]) => [x * canvas.clientWidth, y * canvas.clientHeight];
const share = (event) => {
  const box = canvas.getBoundingClientRect();
  const inside = (v) => Math.min(1, Math.max(0, v));
  return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
};
const distance = (a, b) => { const [p, q] = [toPixels(a), toPixels(b)]; return Math.hypot(p[0] - q[0], p[1] - q[1]); };
const freeName = (kind) => {
  for (let n = 1; ; n += 1) { const name = kind + " " + n; if (!shapes.some((s) => s.kind === kind && s.name === name)) return name; }
};

function setMode(next) {
  mode = next; drawing = [];
  document.querySelectorAll("[data-mode]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.mode === mode)));
  say(HINTS[mode]); paint();
}

function finish() {
  const least = FULL[mode] || 3;
  if (drawing.length < least) { say("A " + KINDS[mode].toLowerCase() + " needs " + least + " points.", true); return; }
  remember();
  const shape = { kind: mode, points: drawing };
  if (mode === "ground") { shapes = shapes.filter((s) => s.kind !== "ground"); Object.assign(shape, { sides_m: [7.5, 30], unit: "km/h" }); }
  else shape.name = freeName(mode);
  if (mode === "line") shape.directions = ["left to right", "right to left"];
  shapes.push(shape); drawing = []; list(); paint();
  const input = $("shapes").lastElementChild?.querySelector("input"); if (input) { input.focus(); input.select(); }
}

function undo() {
  if (drawing.length) drawing.pop();
  else if (history.length) shapes = JSON.parse(history.pop());
  list(); paint();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const at = share(event);
  if (!drawing.length) {
    for (const shape of shapes) for (const point of shape.points) if (distance(point, at) <= NEAR) {
      remember(); dragged = point; canvas.setPointerCapture(event.pointerId); return;
    }
  }
  canvas.focus();
  if ((mode === "zone" || mode === "ignore") && drawing.length > 2 && distance(drawing[0], at) <= NEAR) { finish(); return; }
  drawing.push(at);
  if (drawing.length === FULL[mode]) finish();
  paint();
});
canvas.addEventListener("pointermove", (event) => {
  pointer = share(event);
  if (dragged) { [dragged[0], dragged[1]] = pointer; }
  if (dragged || drawing.length) paint();
});
canvas.addEventListener("pointerup", () => { dragged = null; });
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.tagName !== "INPUT") { event.preventDefault(); undo(); }
  else if (event.key === "Escape") { drawing = []; paint(); }
  else if (event.key === "Enter" && event.target === canvas && drawing.length) finish();
});

function paint() {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale; canvas.height = canvas.clientHeight * scale;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  for (const shape of shapes) outline(shape.points.map(toPixels), COLOURS[shape.kind], shape);
  if (drawing.length) outline([...drawing, ...(pointer ? [pointer] : [])].map(toPixels), COLOURS[mode], null);
}

function outline(points, colour, shape) {
  pen.strokeStyle = colour; pen.fillStyle = colour; pen.lineWidth = 3;
  pen.beginPath(); points.forEach(([x, y], n) => (n ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (shape && shape.kind !== "line") { pen.closePath(); pen.globalAlpha = 0.18; pen.fill(); pen.globalAlpha = 1; }
  pen.stroke();
  points.forEach(([x, y]) => { pen.beginPath(); pen.arc(x, y, 5, 0, 7); pen.fill(); });
  if (!shape) return;
  const [cx, cy] = points.reduce(([a, b], [x, y]) => [a + x / points.length, b + y / points.length], [0, 0]);
  if (shape.kind === "line") arrows(points, [cx, cy], shape.directions, colour);
  label(shape.name || "ground", cx, cy - 10, colour);
}

function arrows([[x0, y0], [x1, y1]], [cx, cy], directions, colour) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1, right = [-(y1 - y0) / length, (x1 - x0) / length];
  [1, -1].forEach((side, n) => {
    const tip = [cx + side * 34 * right[0], cy + side * 34 * right[1]];
    pen.lineWidth = 2; pen.beginPath(); pen.moveTo(cx, cy); pen.lineTo(...tip); pen.stroke();
    pen.beginPath(); pen.arc(...tip, 3.5, 0, 7); pen.fill();
    label(directions[n], tip[0] + side * 10 * right[0], tip[1] + side * 16 * right[1] + 5, colour);
  });
}

function label(text, x, y, colour) {
  pen.font = "13px system-ui, sans-serif"; pen.textAlign = "center";
  const width = pen.measureText(text).width;
  const left = Math.min(Math.max(x, width / 2 + 4), canvas.clientWidth - width / 2 - 4), top = Math.min(Math.max(y, 14), canvas.clientHeight - 4);
  pen.fillStyle = "rgba(0,0,0,.72)"; pen.fillRect(left - width / 2 - 4, top - 14, width + 8, 19);
  pen.fillStyle = colour; pen.fillText(text, left, top);
}

function field(item, text, value, change, type = "text") {
  const wrap = document.createElement("label"), input = document.createElement("input");
  wrap.textContent = text; input.type = type; input.value = value; input.maxLength = 80;
  if (type === "number") { input.min = "0.1"; input.step = "0.1"; }
  let kept = false;
  input.addEventListener("input", () => { if (!kept) remember(); kept = true; change(input.value); paint(); });
  wrap.append(input); item.append(wrap);
}

function list() {
  $("shapes").replaceChildren(...shapes.map((shape) => {
    const item = document.createElement("li"), head = document.createElement("div"), kind = document.createElement("b"), drop = document.createElement("button");
    head.className = "head"; kind.textContent = KINDS[shape.kind]; drop.type = "button"; drop.textContent = "Remove";
    drop.addEventListener("click", () => { remember(); shapes = shapes.filter((s) => s !== shape); list(); paint(); });
    head.append(kind, drop); item.append(head);
    if (shape.kind !== "ground") field(item, "Name", shape.name, (v) => { shape.name = v; });
    if (shape.kind === "line") {
      field(item, "To the right hand", shape.directions[0], (v) => { shape.directions[0] = v; });
      field(item, "To the left hand", shape.directions[1], (v) => { shape.directions[1] = v; });
    }
    if (shape.kind === "ground") {
      field(item, "First to second point, metres", shape.sides_m[0], (v) => { shape.sides_m[0] = +v; }, "number");
      field(item, "Second to third point, metres", shape.sides_m[1], (v) => { shape.sides_m[1] = +v; }, "number");
      const unit = document.createElement("select"); unit.setAttribute("aria-label", "unit of speeds");
      ["km/h", "mph"].forEach((u) => unit.append(new Option(u, u, false, u === shape.unit)));
      unit.addEventListener("change", () => { shape.unit = unit.value; }); item.append(unit);
    }
    return item;
  }));
}

async function post(path, data) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });
  const type = answer.headers.get("content-type") || "";
  const told = type.includes("json") ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw new Error(told.error);
  return told;
}

async function save() {
  const of = (kind) => shapes.filter((s) => s.kind === kind);
  const named = (s) => ({ name: s.name, points: s.points });
  const ground = of("ground")[0];
  try {
    const told = await post("scene.json", {
      line: of("line").map((s) => ({ ...named(s), directions: s.directions })), zone: of("zone").map(named), ignore: of("ignore").map(named),
      ...(ground ? { ground: { points: ground.points, sides_m: ground.sides_m, unit: ground.unit } } : {}),
    });
    say("Saved to " + told.saved); return true;
  } catch (error) { say(error.message, true); return false; }
}

document.querySelectorAll("[data-mode]").forEach((b) => b.addEventListener("click", () => setMode(b.dataset.mode)));
$("undo").addEventListener("click", undo);
$("save").addEventListener("click", save);
$("done").addEventListener("click", async () => {
  if (!(await save())) return;
  try { await post("done", {}); } catch (error) { /* the program may be gone before it answers */ }
  say("Saved. You can close this page.");
});
$("suggest").addEventListener("click", () => {
  remember();
  const taken = new Set(shapes.map((s) => s.name));
  shapes.push(...suggested.filter((s) => !taken.has(s.name)).map((s) => ({ kind: "line", directions: ["left to right", "right to left"], ...structuredClone(s) })));
  list(); paint();
});
window.addEventListener("resize", paint);
new ResizeObserver(paint).observe($("stage"));

(async () => {
  const told = await (await fetch("scene.json")).json(), scene = told.scene;
  for (const kind of ["line", "zone", "ignore"]) for (const s of scene[kind] || []) shapes.push({ kind, ...(kind === "line" ? { directions: ["left to right", "right to left"] } : {}), ...s });
  if (scene.ground) shapes.push({ kind: "ground", ...scene.ground });
  suggested = told.suggested; $("suggest").hidden = !suggested.length;
  list(); setMode("line");
})();
