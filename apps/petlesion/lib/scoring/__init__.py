"""Scoring methods: computed on demand, in a process of their own, never by a request for the next case."""
