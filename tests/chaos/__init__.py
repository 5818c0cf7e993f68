"""What `make chaos` and `make year` run whole: kills, random steps, a year."""
