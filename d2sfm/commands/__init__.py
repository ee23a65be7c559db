"""The commands of ``d2sfm``, a module each: its arguments, and the call that they stand for."""
