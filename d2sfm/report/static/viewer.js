"use strict";
// The 3D view of models: cameras among their points (points.js), and which of these is looked at. Needs THREE.

// Whether a graphics processor draws: in software, smooth edges take longer than all the rest.
function isFast() {
  const context = document.createElement("canvas").getContext("webgl2");
  const told = context && context.getExtension("WEBGL_debug_renderer_info");
  const name = told ? context.getParameter(told.UNMASKED_RENDERER_WEBGL) : "";
  if (context) context.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

class Viewer {
  // stage: the element to draw in; photographs: [{name, thumbnail}]; onChoose: called with a row, or null.
  constructor(stage, photographs, onChoose) {
    this.stage = stage;
    this.photographs = photographs;
    this.onChoose = onChoose;
    THREE.ColorManagement.enabled = false; // colours are those of the photographs, as they are
    this.renderer = new THREE.WebGLRenderer({ antialias: isFast() });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    const canvas = this.renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Points and cameras. Arrow keys turn the view, plus and minus come closer.");
    stage.prepend(canvas);
    this.label = document.createElement("bdi");
    this.label.className = "label";
    this.label.hidden = true;
    stage.append(this.label);
    this.scene = new THREE.Scene();
    this.cloud = new Cloud(this.scene, this.renderer.getPixelRatio(), () => this.draw());
    this.eye = new THREE.PerspectiveCamera(50, 1, 0.01, 1000);
    this.eye.up.set(0, 0, 1);
    this.controls = new THREE.OrbitControls(this.eye, canvas);
    this.controls.screenSpacePanning = true;
    this.controls.addEventListener("change", () => this.draw());
    canvas.addEventListener("wheel", () => { clearTimeout(this.rest); this.rest = setTimeout(() => this.settle(), 250); }, { passive: true });
    this.controls.addEventListener("start", () => (this.moving = true));
    this.controls.addEventListener("end", () => { this.moving = false; this.settle(); });
    this.chosen = null;
    this.frames = []; // milliseconds between the last pictures while the view was turned
    this.listen(canvas);
  }

  listen(canvas) {
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return this.nearest(event.clientX - box.left, event.clientY - box.top, event.pointerType === "touch" ? 26 : 14);
    };
    canvas.addEventListener("pointermove", (event) => { if (!event.buttons) this.hover(at(event)); });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    let down = null;
    canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
    canvas.addEventListener("pointerup", (event) => {
      if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 5) {
        const camera = at(event);
        this.onChoose(camera ? camera.row : null);
      }
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(this.stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  key(event) {
    const turns = { ArrowLeft: [0.12, 0], ArrowRight: [-0.12, 0], ArrowUp: [0, -0.09], ArrowDown: [0, 0.09] };
    const zooms = { "+": 0.85, "=": 0.85, "-": 1.18 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (turns[event.key]) this.turn(...turns[event.key]);
    else if (zooms[event.key]) this.eye.position.sub(this.controls.target).multiplyScalar(zooms[event.key]).add(this.controls.target);
    else if (event.key === "Home") this.whole();
    else return;
    event.preventDefault();
    this.controls.update();
    this.draw();
  }

  turn(sideways, upwards) {
    const way = this.eye.position.clone().sub(this.controls.target);
    const across = new THREE.Vector3().crossVectors(this.eye.up, way).normalize();
    way.applyAxisAngle(this.eye.up, -sideways);
    const turned = way.clone().applyAxisAngle(across, upwards);
    if (Math.abs(turned.clone().normalize().dot(this.eye.up)) < 0.995) way.copy(turned);
    this.eye.position.copy(this.controls.target).add(way);
  }

  // Shows a model, see scene.py.
  show(model) {
    this.model = model;
    this.chosen = null;
    this.scene.clear();
    this.cloud.show(model);
    this.all = this.lines(model.cameras, model.depth);
    this.marked = null;
    this.recolour();
    this.whole();
  }

  // Centre, and the corners of the picture at that depth.
  corners(camera, d) {
    const c = new THREE.Vector3(...camera.centre), a = camera.axes;
    const axis = [0, 3, 6].map((i) => new THREE.Vector3(a[i], a[i + 1], a[i + 2]));
    const [left, right, top, bottom] = camera.edges;
    const at = (x, y) => c.clone().addScaledVector(axis[0], x * d).addScaledVector(axis[1], y * d).addScaledVector(axis[2], d);
    return [c, at(left, top), at(right, top), at(right, bottom), at(left, bottom)];
  }

  lines(cameras, depth) {
    const at = new Float32Array(cameras.length * 48);
    cameras.forEach((camera, index) => {
      const [c, ...p] = this.corners(camera, depth);
      const ends = [c, p[0], c, p[1], c, p[2], c, p[3], p[0], p[1], p[1], p[2], p[2], p[3], p[3], p[0]];
      ends.forEach((end, k) => end.toArray(at, 48 * index + 3 * k));
    });
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(at, 3));
    const drawn = new THREE.LineSegments(geometry, new THREE.LineBasicMaterial());
    drawn.frustumCulled = false;
    this.scene.add(drawn);
    return drawn;
  }

  recolour() {
    this.renderer.setClearColor(`rgb(${colourOf("--stage").map((part) => Math.round(255 * part)).join(",")})`);
    this.cloud.recolour();
    if (this.all) this.all.material.color.setRGB(...colourOf("--accent"));
    if (this.marked) this.marked.material.color.setRGB(...colourOf("--warm"));
    this.draw();
  }

  // The camera of a row is marked and shows its photograph; null: of none.
  choose(row) {
    this.chosen = this.model.cameras.find((camera) => camera.row === row) || null;
    for (const gone of [this.marked, this.picture]) if (gone) this.scene.remove(gone);
    this.marked = this.picture = null;
    if (this.chosen) {
      this.marked = this.lines([this.chosen], this.markDepth());
      this.hang(this.chosen, this.photographs[row]);
    }
    this.recolour();
  }

  markDepth() {
    return Math.max(2 * this.model.depth, 0.09 * this.model.radius);
  }

  hang(camera, photograph) {
    if (!photograph.thumbnail) return;
    const corners = this.corners(camera, this.markDepth()).slice(1).flatMap((corner) => corner.toArray());
    // Thumbnails are upright: where the corners of the stored picture, from its top left on, lie in them.
    const turned = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0], [0, 3, 2, 1], [1, 2, 3, 0], [2, 1, 0, 3], [3, 0, 1, 2]];
    const places = [[0, 1], [1, 1], [1, 0], [0, 0]];
    const uv = turned[photograph.orientation - 1].flatMap((corner) => places[corner]);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(corners), 3));
    geometry.setAttribute("uv", new THREE.BufferAttribute(new Float32Array(uv), 2));
    geometry.setIndex([0, 2, 1, 0, 3, 2]);
    const map = new THREE.TextureLoader().load(photograph.thumbnail, () => this.draw());
    const material = new THREE.MeshBasicMaterial({ map, side: THREE.DoubleSide, transparent: true, opacity: 0.9 });
    this.picture = new THREE.Mesh(geometry, material);
    this.scene.add(this.picture);
  }

  hover(camera) {
    this.label.hidden = !camera;
    this.renderer.domElement.style.cursor = camera ? "pointer" : "grab";
    if (!camera) return;
    this.label.textContent = this.photographs[camera.row].name;
    this.label.style.left = `${camera.x}px`;
    this.label.style.top = `${camera.y}px`;
  }

  // The camera whose place in the picture is nearest to (x, y), in pixels; null where none is as near.
  nearest(x, y, within) {
    if (!this.model) return null;
    const width = this.stage.clientWidth, height = this.stage.clientHeight, place = new THREE.Vector3();
    let best = null;
    for (const camera of this.model.cameras) {
      place.set(...camera.centre).project(this.eye);
      if (place.z > 1) continue;
      const u = (place.x + 1) / 2 * width, v = (1 - place.y) / 2 * height, off = Math.hypot(u - x, v - y);
      if (off < within) { within = off; best = { row: camera.row, x: u, y: v }; }
    }
    return best;
  }

  // All of the scene from behind and above the cameras, or (steep) from above.
  whole(steep) {
    const { middle, radius } = this.model, narrow = Math.max(1, 1 / this.eye.aspect);
    const way = steep ? [0, -0.001, 1] : [0.42, -0.72, 0.55];
    this.controls.target.set(...middle);
    this.eye.position.set(...way).normalize().multiplyScalar(2 * radius * narrow).add(this.controls.target);
    this.eye.near = radius / 500;
    this.eye.far = radius * 60;
    this.eye.updateProjectionMatrix();
    this.controls.update();
    this.settle();
  }

  // From where a photograph was taken.
  through() {
    if (!this.chosen) return;
    const c = new THREE.Vector3(...this.chosen.centre), a = this.chosen.axes;
    this.eye.position.copy(c).addScaledVector(new THREE.Vector3(a[6], a[7], a[8]), -0.5 * this.model.depth);
    this.controls.target.copy(c).addScaledVector(new THREE.Vector3(a[6], a[7], a[8]), this.model.radius);
    this.controls.update();
    this.settle();
  }

  resize() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.eye.aspect = width / height;
    this.eye.updateProjectionMatrix();
    this.draw();
  }

  // The view is at rest.
  settle() {
    this.last = null;
    this.cloud.whole();
    this.cloud.closer(this.eye);
    this.draw();
  }

  // Draws with the next picture of the browser. While a slow machine turns the view it draws fewer points: they are in
  // random order.
  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame((now) => {
      this.waiting = null;
      if (this.moving && this.last) {
        this.frames.push(now - this.last);
        if (now - this.last > 120 && now - this.last < 2000) this.cloud.fewer();
      }
      this.last = this.moving ? now : null;
      this.renderer.render(this.scene, this.eye);
    });
  }
}
