"""A scene rendered by the package, with exact cameras and depth, and a first run on it."""
