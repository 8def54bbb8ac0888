"""Operators of the graph, one a file: each calls one function of the core and holds no algorithm."""
