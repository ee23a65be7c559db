export {
  BufferAttribute, BufferGeometry, ColorManagement, DoubleSide, LinearSRGBColorSpace, LineBasicMaterial, LineSegments,
  Matrix4, Mesh, MeshBasicMaterial, PerspectiveCamera, Points, PointsMaterial, Scene, TextureLoader, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
