"use strict";
// The matrix of verified matches: a cell for each pair of photographs.

class Matrix {
  constructor(canvas, data, onChoose) {
    this.canvas = canvas;
    this.names = data.photographs.map((photograph) => photograph.name);
    this.photographs = data.photographs;
    this.pairs = data.pairs;
    this.onChoose = onChoose;
    const count = this.names.length;
    this.order = this.names.map((_, row) => row);
    this.at = new Map();
    data.pairs.a.forEach((a, index) => this.at.set(a * count + data.pairs.b[index], index));
    this.most = data.pairs.verified.reduce((most, each) => Math.max(most, each), 1);
    this.scale = Math.max(1, Math.min(12, Math.floor(1400 / count)));
    canvas.width = canvas.height = count * this.scale;
    this.cell = null;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    canvas.addEventListener("click", () => { if (this.cell) onChoose(this.order[this.cell[0]]); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    document.getElementById("by-group").addEventListener("change", (event) => {
      this.order = event.target.checked ? data.pairs.order : this.names.map((_, row) => row);
      this.draw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
  }

  pairOf(a, b) {
    return this.at.get(Math.min(a, b) * this.names.length + Math.max(a, b));
  }

  draw() {
    const context = this.canvas.getContext("2d"), count = this.names.length, s = this.scale;
    const [paper, ink, line, warm] = ["--panel", "--accent", "--line", "--warm"].map(colourOf);
    const css = (colour) => `rgb(${colour.map((part) => Math.round(255 * part)).join(",")})`;
    const place = new Array(count);
    this.order.forEach((row, index) => { place[row] = index; });
    context.fillStyle = css(paper);
    context.fillRect(0, 0, count * s, count * s);
    context.fillStyle = css(line);
    for (let i = 0; i < count; i++) context.fillRect(i * s, i * s, s, s);
    const fill = (u, v) => { context.fillRect(u * s, v * s, s, s); context.fillRect(v * s, u * s, s, s); };
    this.pairs.a.forEach((a, index) => {
      const verified = this.pairs.verified[index], u = place[a], v = place[this.pairs.b[index]];
      if (verified) {
        const share = 0.18 + 0.82 * Math.sqrt(verified / this.most);
        context.fillStyle = css(paper.map((part, k) => part + (ink[k] - part) * share));
        fill(u, v);
      } else if (s >= 3) {
        context.fillStyle = css(line.map((part, k) => part + (warm[k] - part) * 0.45));
        const dot = Math.max(1, Math.round(s / 4)), shift = Math.floor((s - dot) / 2);
        for (const [x, y] of [[u, v], [v, u]]) context.fillRect(x * s + shift, y * s + shift, dot, dot);
      }
    });
    if (this.cell) {
      context.strokeStyle = css(warm);
      context.lineWidth = Math.max(1, s / 6);
      const [u, v] = this.cell;
      context.strokeRect(u * s, v * s, s, s);
    }
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect(), count = this.names.length;
    this.go(Math.floor((event.clientX - box.left) / box.width * count), Math.floor((event.clientY - box.top) / box.height * count));
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" && this.cell) this.onChoose(this.order[this.cell[0]]);
    if (!steps) return;
    event.preventDefault();
    const [u, v] = this.cell || [0, 0];
    this.go(u + steps[0], v + steps[1]);
  }

  go(u, v) {
    const last = this.names.length - 1;
    this.cell = [Math.max(0, Math.min(last, u)), Math.max(0, Math.min(last, v))];
    this.draw();
    this.tell(...this.cell.map((index) => this.order[index]));
  }

  tell(a, b) {
    const box = document.getElementById("pair");
    box.replaceChildren();
    const line = document.createElement("p");
    const name = (row) => { const made = document.createElement("bdi"); made.textContent = this.names[row]; return made; };
    line.append(name(a));
    if (a !== b) line.append(" – ", name(b));
    const words = document.createElement("p");
    words.textContent = a === b ? "the same photograph" : this.words(this.pairOf(a, b));
    box.append(line, words);
    const both = document.createElement("div");
    both.className = "two";
    for (const row of a === b ? [a] : [a, b]) {
      if (!this.photographs[row].thumbnail) continue;
      const picture = document.createElement("img");
      picture.alt = "";
      picture.src = this.photographs[row].thumbnail;
      both.append(picture);
    }
    box.append(both);
  }

  words(index) {
    if (index === undefined) return "not matched with each other";
    const verified = this.pairs.verified[index], matches = this.pairs.matches[index];
    if (verified) return `${verified} verified matches of ${matches}`;
    const why = this.pairs.refused[index];
    return `not verified: ${why || `${matches} matches, too few of which agree`}`;
  }
}
