"""Matches of image pairs and their verification; ``match`` is the driver."""
