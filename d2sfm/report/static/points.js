"use strict";
// The points of a model: those that come with the page, and of a large one what a server sends where it is looked at.

const MOST_DETAILS = 600000, LEAST_POINTS = 20000;

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function colourOf(name) {
  const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi);
  return [r, g, b].map((part) => parseInt(part, 16) / 255);
}

class Cloud {
  // scene: what the points are added to; ratio: pixels of the screen for one of the page; onChange: called to draw.
  constructor(scene, ratio, onChange) {
    this.scene = scene;
    this.ratio = ratio;
    this.onChange = onChange;
    this.size = 2;
    this.first = null; // of the page, in random order
    this.details = new Map(); // of a server, by cell; null while they are on their way
  }

  // Of another model, in place of those that are there.
  async show(model) {
    for (const points of this.drawn()) this.remove(points);
    this.model = model;
    this.first = null;
    this.details = new Map();
    const points = await this.load(model.first);
    if (this.model === model) this.first = points;
    else this.remove(points);
  }

  drawn() {
    return this.scene.children.filter((child) => child.isPoints);
  }

  remove(points) {
    this.scene.remove(points);
    points.geometry.dispose();
    points.material.dispose();
  }

  // Adds a chunk, see scene.py.
  async load(chunk) {
    const bytes = chunk.data === undefined ? new Uint8Array(await (await fetch(chunk.url)).arrayBuffer()) : bytesOf(chunk.data);
    const positions = new Uint16Array(bytes.buffer, 0, 3 * chunk.count), colours = bytes.subarray(6 * chunk.count);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3, true));
    geometry.setAttribute("color", new THREE.BufferAttribute(colours, 3, true));
    const areColoured = colours.some((part) => part > 0); // without photographs, mapping leaves them black
    const points = new THREE.Points(geometry, new THREE.PointsMaterial({ vertexColors: areColoured, sizeAttenuation: false }));
    points.position.fromArray(chunk.low);
    points.scale.fromArray(chunk.size);
    points.frustumCulled = false;
    this.scene.add(points);
    this.resize(this.size);
    this.recolour();
    return points;
  }

  resize(size) {
    this.size = size;
    for (const points of this.drawn()) points.material.size = size * this.ratio;
    this.onChange();
  }

  recolour() {
    for (const points of this.drawn()) if (!points.material.vertexColors) points.material.color.setRGB(...colourOf("--ink"));
  }

  // Half as many, while a slow machine turns the view.
  fewer() {
    for (const points of this.details.values()) if (points) points.visible = false;
    if (!this.first) return;
    const geometry = this.first.geometry, drawn = Math.min(geometry.drawRange.count, this.model.first.count);
    geometry.setDrawRange(0, Math.max(LEAST_POINTS, Math.round(drawn / 2)));
  }

  whole() {
    for (const points of this.details.values()) if (points) points.visible = true;
    if (this.first) this.first.geometry.setDrawRange(0, Infinity);
  }

  // The cells that an eye sees largest are drawn too, as many as MOST_DETAILS points allow.
  closer(eye) {
    if (!this.model || !this.model.cells) return;
    const wanted = this.seen(eye), model = this.model;
    for (const [cell, points] of this.details) {
      if (wanted.has(cell) || !points) continue;
      this.remove(points);
      this.details.delete(cell);
    }
    for (const cell of wanted) {
      if (this.details.has(cell)) continue;
      this.details.set(cell, null);
      this.load(cell).then((points) => {
        if (this.model === model) this.details.set(cell, points);
        else this.remove(points);
      });
    }
  }

  seen(eye) {
    eye.updateMatrixWorld();
    const sizes = this.model.cells.map((cell) => {
      const half = new THREE.Vector3(...cell.size).multiplyScalar(0.5), middle = new THREE.Vector3(...cell.low).add(half);
      const away = middle.distanceTo(eye.position), place = middle.clone().project(eye), size = half.length() / Math.max(away, 1e-9);
      const isInside = place.z < 1 && Math.max(Math.abs(place.x), Math.abs(place.y)) < 1 + 2 * size;
      return { cell, size: isInside || size > 1 ? size : 0 };
    });
    let left = MOST_DETAILS;
    const largest = sizes.filter(({ size }) => size > 0).sort((a, b) => b.size - a.size);
    return new Set(largest.filter(({ cell }) => (left -= cell.count) >= 0).map(({ cell }) => cell));
  }
}
