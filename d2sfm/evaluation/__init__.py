"""How good results are, against what is known."""
