"""Measurements, as ratios against a floor and a peer of the same run. ``make bench`` runs them."""
