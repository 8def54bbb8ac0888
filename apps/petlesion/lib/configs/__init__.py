"""What clients may ask of each model."""
