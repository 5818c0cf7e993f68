"""A local accessplanit that speaks API v2, with invented people.

It stands in for a tenant in the quick start, the tests and the benchmarks. It shares no code with
the client: what both believe about the API is written twice, once here and once in
``connectors/accessplanit/dialect.py``, so that a test under another :class:`~sandbox.tenant.Tenant`
proves the client reads its settings and not its own reflection.
"""
