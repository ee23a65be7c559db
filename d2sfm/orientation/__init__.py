"""Turns of photographs by quarters, found from the pictures themselves."""
