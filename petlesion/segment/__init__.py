"""PetCt to Lesions: reference regions, thresholds, gradient edges, components, clicks."""
