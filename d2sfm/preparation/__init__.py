"""Photographs that COLMAP reads, made from files of phones and cameras: HEIC, camera raw, videos and so on."""
