"""Which images to match, as arrays of image ids; ``select`` is the driver."""
