"""A page about a reconstruction: the facts gathered, and the page made from them."""
