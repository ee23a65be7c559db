"""Features and matches in files that other tools read and write: HDF5 in hloc's layout, folders of npz and mat."""
