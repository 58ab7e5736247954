"""`just story`: O improves its own `recall` on real data, with proof, and undoes a bad promotion by itself."""
