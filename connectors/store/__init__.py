"""The sync store: the durable state of every run. It holds watermarks, links, the quarantine and a
ledger of all changes."""
