"""Photographs that COLMAP reads, out of what phones and cameras leave: HEIC, camera raw, videos and the like."""
