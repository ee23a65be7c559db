"""Databases and files of other tools, both ways: ``import_features``, ``export``, ``merge``, ``extract_to_files``."""
