"""Receives webhooks and starts runs for them."""
