"""A scene that the package makes itself, with exact cameras and exact depth, and the newcomer's run on it.

In reading order: ``scene`` rectangles and cameras, ``rendering`` photographs of them; ``textures`` materials,
``ornaments`` what is put on walls, ``builder`` textured walls and boxes, ``lighting`` sun and shadow, ``square`` the
town square made from all of these; ``run`` the demonstration.
"""
