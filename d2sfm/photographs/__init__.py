"""Photographs on disk: which files are photographs, their headers, pixels and masks."""
