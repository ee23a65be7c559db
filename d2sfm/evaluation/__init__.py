"""Accuracy of results against known truth."""
