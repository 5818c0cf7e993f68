"""The tests of the project itself: its architecture, pages, locks, and what a run leaves."""
