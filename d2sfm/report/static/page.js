"use strict";
// What can be done with the page. All texts of others go in by textContent.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const photographs = data.photographs;
let viewer = null;

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function fact(list, term, value) {
  if (value === null || value === undefined || value === "") return;
  element("dt", term, list);
  element("bdi", value, element("dd", undefined, list));
}

// The photograph of a row: its picture and what is known of it. null: how to choose one.
function tell(row) {
  const card = byId("card");
  card.replaceChildren();
  byId("through").disabled = row === null || !viewer || !viewer.chosen;
  byId("camera").value = row === null ? "" : String(row);
  if (row === null) {
    element("p", "Choose a camera: in the view, or by its name.", card).className = "quiet";
    return;
  }
  const photograph = photographs[row];
  element("bdi", photograph.name, element("h3", undefined, card));
  if (photograph.thumbnail) {
    const picture = element("img", undefined, card);
    picture.alt = "";
    picture.src = photograph.thumbnail;
  }
  const list = element("dl", undefined, card);
  for (const [term, value] of photograph.facts) fact(list, term, value);
}

function choose(row) {
  if (row !== null && viewer && !viewer.model.cameras.some((camera) => camera.row === row)) {
    const other = data.models.findIndex((model) => model.cameras.some((camera) => camera.row === row));
    if (other >= 0) showModel(other);
  }
  if (viewer) viewer.choose(row);
  for (const line of document.querySelectorAll("tr.chosen")) line.classList.remove("chosen");
  if (row !== null) for (const line of document.querySelectorAll(`tr[data-row="${row}"]`)) line.classList.add("chosen");
  for (const dot of document.querySelectorAll(".plan-camera")) dot.style.stroke = Number(dot.dataset.row) === row ? "var(--warm)" : "";
  tell(row);
}

function showModel(number) {
  const model = data.models[number];
  viewer.show(model);
  byId("model").value = String(number);
  const drawn = model.first.count, kept = model.count - model.far;
  const notes = [`${drawn.toLocaleString("en")} points`];
  if (drawn < kept && model.cells) notes[0] = `${model.count.toLocaleString("en")} points, more of them are drawn where you look closer`;
  else if (drawn < kept) notes[0] = `${drawn.toLocaleString("en")} of ${model.count.toLocaleString("en")} points are drawn`;
  if (model.far) notes.push(`${model.far.toLocaleString("en")} lie far outside and are not drawn`);
  byId("drawn").textContent = notes.join("; ");
  const list = byId("camera");
  list.replaceChildren();
  element("option", `choose a camera (${model.cameras.length})`, list).value = "";
  for (const camera of model.cameras) element("option", photographs[camera.row].name, list).value = String(camera.row);
  for (const part of document.querySelectorAll("[data-model]")) part.hidden = part.dataset.model !== String(number);
  tell(null);
}

function startView() {
  try {
    viewer = new Viewer(byId("stage"), photographs, choose);
  } catch (error) {
    byId("stage").replaceChildren();
    element("p", "This browser shows no 3D (WebGL is off or missing); the rest of the page does without.", byId("stage"));
    return;
  }
  byId("model").addEventListener("change", (event) => showModel(Number(event.target.value)));
  byId("camera").addEventListener("change", (event) => choose(event.target.value === "" ? null : Number(event.target.value)));
  byId("through").addEventListener("click", () => viewer.through());
  byId("whole").addEventListener("click", () => viewer.whole(false));
  byId("above").addEventListener("click", () => viewer.whole(true));
  byId("size").addEventListener("input", (event) => viewer.cloud.resize(Number(event.target.value)));
  showModel(0);
}

function sortable(table) {
  const body = table.tBodies[0];
  for (const head of table.tHead.rows[0].cells) {
    const button = head.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", () => {
      const first = head.classList.contains("text") ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const way = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1, column = head.cellIndex, isText = head.classList.contains("text");
      const value = (line) => line.cells[column].dataset.value;
      const lines = [...body.rows].sort((a, b) => {
        const [u, v] = [value(a), value(b)];
        if (u === "" || v === "") return (u === "") - (v === ""); // what is not known comes last
        return sign * (isText ? Number(u) - Number(v) || u.localeCompare(v, "en", { numeric: true }) : Number(u) - Number(v));
      });
      body.append(...lines);
    });
  }
}

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => {
      choose(Number(button.dataset.choose));
      if (viewer) byId("view").scrollIntoView({ block: "nearest" });
    });
  }
  const find = byId("find"), only = byId("only");
  if (!find) return;
  const filter = () => {
    const wanted = find.value.toLowerCase();
    for (const line of byId("photographs").tBodies[0].rows) {
      const isThere = photographs[Number(line.dataset.row)].name.toLowerCase().includes(wanted);
      line.hidden = !isThere || (only.checked && line.dataset.placed === "yes");
    }
  };
  find.addEventListener("input", filter);
  only.addEventListener("change", filter);
}

function startChoices() {
  for (const list of document.querySelectorAll("select.figures")) {
    const show = () => { for (const each of document.querySelectorAll(`[data-figure-of="${list.id}"]`)) each.hidden = each.dataset.figure !== list.value; };
    list.addEventListener("change", show);
    show();
  }
  for (const dot of document.querySelectorAll("[id^='plan-']")) {
    const row = Number(dot.id.split("-")[2]);
    dot.classList.add("plan-camera");
    dot.dataset.row = String(row);
    dot.style.cursor = "pointer";
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = photographs[row].name;
    dot.prepend(title);
    dot.addEventListener("click", () => choose(row));
  }
}

startTables();
startChoices();
if (data.pairs) new Matrix(byId("matrix"), data, choose);
if (data.models.length) startView();
