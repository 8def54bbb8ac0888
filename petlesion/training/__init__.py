"""Training of networks: cases, cache, split, patches, augmentation, loss, loop, and the card of what came out."""
