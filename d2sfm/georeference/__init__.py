"""Models in metres, upright and at their place on Earth, by positions, control points or lengths."""
