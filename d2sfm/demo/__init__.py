"""A scene that the package makes itself, with exact cameras and exact depth, and the newcomer's run on it."""
