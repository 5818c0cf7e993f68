"""The sync store: what was loaded, how far, what is linked, what is quarantined. The durable truth
of every run."""
