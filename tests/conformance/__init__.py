"""What "supports" means: laws that every HR system passes or declares not to be its own by a
capability."""
