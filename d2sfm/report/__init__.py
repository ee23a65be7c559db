"""What a reconstruction is like, told by one page: what is known of it, gathered, and the page made of that."""
