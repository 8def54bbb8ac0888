"""Reports for people: PDF, projections, tables."""
