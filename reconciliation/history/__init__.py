"""Historical reconciliation: is it right, and as of which day? It asks, compares, explains and
looks ahead, and writes to neither side."""
