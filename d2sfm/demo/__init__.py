"""A scene that the package makes itself, with exact cameras and exact depth, and the newcomer's run on it.

``scene`` geometry and cameras, ``textures`` and ``ornaments`` what the surfaces look like, ``lighting`` sun and
shadow, ``square`` the town square that is put together from them, ``rendering`` photographs of it.
"""
