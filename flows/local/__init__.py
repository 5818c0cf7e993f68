"""What ``hrsync up`` starts on one machine."""
