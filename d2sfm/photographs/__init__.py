"""Photographs on disk: which files are some, what their headers tell, their pixels and their masks."""
