"""Which case to annotate next."""
