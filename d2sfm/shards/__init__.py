"""One set of photographs on many machines: pieces are plain files in a shared folder, each whole or absent."""
